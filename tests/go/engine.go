// Decodes documents as Docker does, with Go's own encoding/json, and prints what it sees.
//
// A line of standard input is a kind of document, a blank and the document in base64. The answer is a line of JSON:
// the error if there is one, whether the decoder stopped at it, and the value, each field printed whatever it holds.
//
// The structs are after moby 20.10 (container, daemon/network, api/types, image, reference, volume/service): the
// fields that dof reads, each with the kind of type that decides how it is decoded.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// An error of a type's own decoder ends the decoding; other type errors do not.
type stop struct{ error }

// Time prints nanoseconds.
type Time struct{ time.Time }

func (t *Time) UnmarshalJSON(b []byte) error {
	if err := t.Time.UnmarshalJSON(b); err != nil {
		return stop{err}
	}
	return nil
}

func (t Time) MarshalJSON() ([]byte, error) {
	switch {
	case t.IsZero():
		return []byte(`""`), nil
	case !time.Unix(0, t.UnixNano()).Equal(t.Time):
		return []byte(`"beyond"`), nil
	}
	return json.Marshal(fmt.Sprintf("%d %d", t.Unix(), t.Nanosecond()))
}

// StrSlice is strslice.StrSlice.
type StrSlice []string

func (e *StrSlice) UnmarshalJSON(b []byte) error {
	p := make([]string, 0, 1)
	if json.Unmarshal(b, &p) != nil {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return stop{err}
		}
		p = append(p, s)
	}
	*e = p
	return nil
}

type Port string
type PortBinding struct {
	HostIP   string `json:"HostIp"`
	HostPort string
}
type PortMap map[Port][]PortBinding
type PortSet map[Port]struct{}

type HealthcheckResult struct {
	Start, End Time
	ExitCode   int
	Output     string
}
type Health struct{ HealthBody }
type HealthBody struct {
	Status        string
	FailingStreak int
	Log           []*HealthcheckResult
}
type State struct {
	Running           bool
	Paused            bool
	Restarting        bool
	OOMKilled         bool
	RemovalInProgress bool
	Dead              bool
	Pid               int
	ExitCodeValue     int    `json:"ExitCode"`
	ErrorMsg          string `json:"Error"`
	StartedAt         Time
	FinishedAt        Time
	Health            *Health
}
type HealthConfig struct {
	Test          []string
	Interval      time.Duration
	Timeout       time.Duration
	StartPeriod   time.Duration
	StartInterval time.Duration
	Retries       int
}
type Config struct {
	Hostname                                string
	Domainname                              string
	User                                    string
	AttachStdin, AttachStdout, AttachStderr bool
	ExposedPorts                            PortSet
	Tty                                     bool
	OpenStdin                               bool
	StdinOnce                               bool
	Env                                     []string
	Cmd                                     StrSlice
	Healthcheck                             *HealthConfig
	Image                                   string
	Volumes                                 map[string]struct{}
	WorkingDir                              string
	Entrypoint                              StrSlice
	ArgsEscaped, NetworkDisabled            bool
	MacAddress                              string
	OnBuild                                 []string
	Shell                                   StrSlice
	Labels                                  map[string]string
	StopSignal                              string
	StopTimeout                             *int
}
type EndpointIPAMConfig struct {
	IPv4Address  string
	IPv6Address  string
	LinkLocalIPs []string
}
type EndpointBody struct {
	IPAMConfig          *EndpointIPAMConfig
	Links               []string
	Aliases             []string
	NetworkID           string
	EndpointID          string
	Gateway             string
	IPAddress           string
	IPPrefixLen         int
	IPv6Gateway         string
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
	MacAddress          string
	DriverOpts          map[string]string
	DNSNames            []string
}
type EndpointSettings struct {
	*EndpointBody
	IPAMOperational bool
}

// MarshalJSON prints fields of the embedded struct that there is not, too.
func (e EndpointSettings) MarshalJSON() ([]byte, error) {
	type plain EndpointSettings
	if e.EndpointBody == nil {
		e.EndpointBody = &EndpointBody{}
	}
	return json.Marshal(plain(e))
}

type Address struct {
	Addr      string
	PrefixLen int
}
type Settings struct {
	Bridge                                       string
	HairpinMode                                  bool
	LinkLocalIPv6Address                         string
	LinkLocalIPv6PrefixLen                       int
	Service                                      *struct{}
	SandboxKey                                   string
	SecondaryIPAddresses, SecondaryIPv6Addresses []Address
	IsAnonymousEndpoint, HasSwarmEndpoint        bool
	SandboxID                                    string
	Networks                                     map[string]*EndpointSettings
	Ports                                        PortMap
}
type MountSpec struct {
	Type        string
	Source      string
	Target      string
	ReadOnly    bool
	BindOptions *struct {
		Propagation  string
		NonRecursive bool
	}
	Consistency   string
	VolumeOptions *struct {
		NoCopy       bool
		Labels       map[string]string
		DriverConfig *struct {
			Name    string
			Options map[string]string
		}
	}
	TmpfsOptions *struct {
		SizeBytes int64
		Mode      os.FileMode
	}
}
type MountPoint struct {
	Source                 string
	Destination            string
	RW                     bool
	Name                   string
	Driver                 string
	Type                   string
	Mode                   string `json:"Relabel"`
	Propagation            string
	Spec                   MountSpec
	ID                     string
	SkipMountpointCreation bool
}
type Container struct {
	*State                                           `json:"State"`
	Root                                             string `json:"-"`
	ID                                               string
	Created                                          Time
	Path                                             string
	Args                                             []string
	Config                                           *Config
	ImageID                                          string `json:"Image"`
	NetworkSettings                                  *Settings
	LogPath                                          string
	Name                                             string
	Driver                                           string
	OS                                               string
	MountLabel                                       string
	ProcessLabel                                     string
	RestartCount                                     int
	HasBeenStartedBefore                             bool
	HasBeenManuallyStopped                           bool
	MountPoints                                      map[string]*MountPoint
	HostConfig                                       *HostConfig `json:"-"`
	AppArmorProfile                                  string
	SeccompProfile                                   string
	NoNewPrivileges                                  bool
	StreamConfig                                     *struct{}
	Managed                                          bool
	SecretReferences, ConfigReferences               []*struct{}
	HostnamePath, HostsPath, ShmPath, ResolvConfPath string
	SharedEndpointList                               []string
	LocalLogCacheMeta                                struct{ HaveNotifyEnabled bool }
}

type DeviceMapping struct {
	PathOnHost        string
	PathInContainer   string
	CgroupPermissions string
}
type DeviceRequest struct {
	Driver       string
	Count        int
	DeviceIDs    []string
	Capabilities [][]string
	Options      map[string]string
}
type Ulimit struct {
	Name string
	Hard int64
	Soft int64
}
type WeightDevice struct {
	Path   string
	Weight uint16
}
type ThrottleDevice struct {
	Path string
	Rate uint64
}
type Resources struct {
	BlkioWeightDevice                                                                  []*WeightDevice
	BlkioDeviceReadBps, BlkioDeviceWriteBps, BlkioDeviceReadIOps, BlkioDeviceWriteIOps []*ThrottleDevice
	CPURealtimePeriod                                                                  int64 `json:"CpuRealtimePeriod"`
	CPURealtimeRuntime                                                                 int64 `json:"CpuRealtimeRuntime"`
	KernelMemory, KernelMemoryTCP                                                      int64
	MemorySwappiness                                                                   *int64
	CPUCount                                                                           int64 `json:"CpuCount"`
	CPUPercent                                                                         int64 `json:"CpuPercent"`
	IOMaximumIOps, IOMaximumBandwidth                                                  uint64
	CPUShares                                                                          int64 `json:"CpuShares"`
	Memory                                                                             int64
	NanoCPUs                                                                           int64 `json:"NanoCpus"`
	CgroupParent                                                                       string
	BlkioWeight                                                                        uint16
	CPUPeriod                                                                          int64 `json:"CpuPeriod"`
	CPUQuota                                                                           int64 `json:"CpuQuota"`
	CpusetCpus                                                                         string
	CpusetMems                                                                         string
	Devices                                                                            []DeviceMapping
	DeviceCgroupRules                                                                  []string
	DeviceRequests                                                                     []DeviceRequest
	MemoryReservation                                                                  int64
	MemorySwap                                                                         int64
	OomKillDisable                                                                     *bool
	PidsLimit                                                                          *int64
	Ulimits                                                                            []*Ulimit
}
type HostConfig struct {
	Binds     []string
	LogConfig struct {
		Type   string
		Config map[string]string
	}
	ContainerIDFile, VolumeDriver, Cgroup, Isolation string
	Annotations, StorageOpt                          map[string]string
	DNSOptions                                       []string `json:"DnsOptions"`
	DNSSearch                                        []string `json:"DnsSearch"`
	NetworkMode                                      string
	PortBindings                                     PortMap
	RestartPolicy                                    struct {
		Name              string
		MaximumRetryCount int
	}
	AutoRemove      bool
	VolumesFrom     []string
	CapAdd          StrSlice
	CapDrop         StrSlice
	CgroupnsMode    string
	DNS             []string `json:"Dns"`
	ExtraHosts      []string
	GroupAdd        []string
	IpcMode         string
	Links           []string
	OomScoreAdj     int
	PidMode         string
	Privileged      bool
	PublishAllPorts bool
	ReadonlyRootfs  bool
	SecurityOpt     []string
	Tmpfs           map[string]string
	UTSMode         string
	UsernsMode      string
	ShmSize         int64
	Sysctls         map[string]string
	Runtime         string
	Resources
	Mounts        []MountSpec
	MaskedPaths   []string
	ReadonlyPaths []string
	Init          *bool
}

type V1Image struct {
	ID              string  `json:"id"`
	Parent          string  `json:"parent"`
	Comment         string  `json:"comment"`
	Created         Time    `json:"created"`
	Container       string  `json:"container"`
	DockerVersion   string  `json:"docker_version"`
	ContainerConfig Config  `json:"container_config"`
	Author          string  `json:"author"`
	Config          *Config `json:"config"`
	Architecture    string  `json:"architecture"`
	Variant         string  `json:"variant"`
	OS              string  `json:"os"`
	Size            int64
}
type RootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}
type History struct {
	Created    Time   `json:"created"`
	Author     string `json:"author"`
	CreatedBy  string `json:"created_by"`
	Comment    string `json:"comment"`
	EmptyLayer bool   `json:"empty_layer"`
}
type Image struct {
	V1Image
	Parent     string    `json:"parent"`
	RootFS     *RootFS   `json:"rootfs"`
	History    []History `json:"history"`
	OSVersion  string    `json:"os.version"`
	OSFeatures []string  `json:"os.features"`
}

type Repositories struct {
	jsonPath     string
	Repositories map[string]map[string]string
}
type Volume struct {
	Name    string
	Driver  string
	Labels  map[string]string
	Options map[string]string
}
type Daemon struct {
	RootDeprecated string `json:"graph"`
	Root           string `json:"data-root"`
}
type Peer struct {
	NodeID string `json:"node_id"`
	Addr   string `json:"addr"`
}
type Swarm struct {
	LocalAddr          string
	RemoteAddr         string
	ListenAddr         string
	AdvertiseAddr      string
	DataPathAddr       string
	JoinInProgress     bool
	DefaultAddressPool []string
	SubnetSize         uint32
	DataPathPort       uint32
}
type JSONLog struct {
	Log     string            `json:"log"`
	Stream  string            `json:"stream"`
	Created Time              `json:"time"`
	Attrs   map[string]string `json:"attrs"`
}

type answer struct {
	Error string      `json:"error"`
	Stop  bool        `json:"stop"`
	Value interface{} `json:"value"`
}

func told(value interface{}, err error) answer {
	if err == nil {
		return answer{Value: value}
	}
	var s stop
	var t *json.UnmarshalTypeError
	return answer{err.Error(), errors.As(err, &s) || !errors.As(err, &t), value}
}

// As the engine reads each kind.
func decode(kind string, b []byte) answer {
	stream := func(v interface{}) answer { return told(v, json.NewDecoder(bytes.NewReader(b)).Decode(v)) }
	whole := func(v interface{}) answer { return told(v, json.Unmarshal(b, v)) }
	switch kind {
	case "container":
		return stream(&Container{})
	case "hostconfig":
		v := &HostConfig{}
		return stream(&v)
	case "image":
		return whole(&Image{})
	case "repositories":
		v := &Repositories{}
		return stream(&v)
	case "daemon":
		// dockerd holds the names against its options first.
		var names map[string]interface{}
		if err := json.NewDecoder(bytes.NewReader(b)).Decode(&names); err != nil {
			return told(&Daemon{}, stop{err})
		}
		for name := range names {
			for _, option := range []string{"data-root", "graph"} {
				if name != option && strings.EqualFold(name, option) {
					return told(&Daemon{}, stop{errors.New("no option: " + name)})
				}
			}
		}
		return stream(&Daemon{})
	case "volume":
		return whole(&Volume{})
	case "peers":
		return whole(&[]Peer{})
	case "swarm":
		return whole(&Swarm{})
	case "network":
		var v map[string]interface{}
		return whole(&v)
	case "time":
		return whole(&Time{})
	case "log":
		all, d := []JSONLog{}, json.NewDecoder(bytes.NewReader(b))
		for {
			line := JSONLog{}
			err := d.Decode(&line)
			if err == io.EOF {
				return answer{Value: all}
			}
			if err != nil {
				return told(append(all, line), err)
			}
			all = append(all, line)
		}
	}
	panic(kind)
}

func main() {
	in, out := bufio.NewReaderSize(os.Stdin, 1<<20), bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		kind, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			panic(err)
		}
		said, err := json.Marshal(decode(kind, b))
		if err != nil {
			panic(err)
		}
		out.Write(append(said, '\n'))
	}
}
