//! Hosts made by hand: as small, as damaged or as hostile as a test wants them; no engine and no root needed.

use super::folder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use tempfile::TempDir;

/// A host made by hand, of one storage driver: a data root, and containers and images as a test wants them.
pub struct Host {
    pub dir: TempDir,
    driver: &'static str,
}

impl Host {
    pub fn new() -> Host {
        Host::of("overlay2")
    }

    pub fn of(driver: &'static str) -> Host {
        let host = Host {
            dir: folder(),
            driver,
        };
        for d in [
            "containers".to_owned(),
            format!("image/{driver}/imagedb/content/sha256"),
            format!("image/{driver}/layerdb/sha256"),
            driver.to_owned(),
            "volumes".to_owned(),
        ] {
            fs::create_dir_all(host.root().join(d)).unwrap();
        }
        host.write("etc/hostname", "victim\n");
        host
    }

    pub fn mount(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("var/lib/docker")
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A container of this id (one letter, 64 times), with its config.v2.json.
    pub fn container(&self, letter: char, config: impl AsRef<[u8]>) -> String {
        let id = letter.to_string().repeat(64);
        self.write(
            &format!("var/lib/docker/containers/{id}/config.v2.json"),
            config,
        );
        self.write(
            &format!("var/lib/docker/containers/{id}/hostconfig.json"),
            "{}",
        );
        let record = format!("var/lib/docker/image/{}/layerdb/mounts/{id}", self.driver);
        for (file, layer) in [("mount-id", &id), ("init-id", &format!("{id}-init"))] {
            self.write(&format!("{record}/{file}"), layer);
            let files = format!("{}/{layer}/diff", self.driver);
            fs::create_dir_all(self.root().join(files)).unwrap();
        }
        id
    }

    pub fn log(&self, id: &str, content: impl AsRef<[u8]>) {
        self.write(
            &format!("var/lib/docker/containers/{id}/{id}-json.log"),
            content,
        );
    }

    /// Where the files of a layer stand.
    pub fn layer(&self, cache_id: &str) -> PathBuf {
        self.dir
            .path()
            .join(format!("var/lib/docker/{}/{cache_id}/diff", self.driver))
    }

    /// Binds these sources at these places of a container.
    pub fn bind(&self, name: &str, binds: &[(String, String)]) {
        let id = format!("{:x}", Sha256::digest(name.as_bytes()));
        let config = format!("var/lib/docker/containers/{id}/config.v2.json");
        let text = fs::read(self.dir.path().join(&config)).unwrap();
        let mut json: Value = serde_json::from_slice(&text).unwrap();
        for (source, at) in binds {
            json["MountPoints"][at] =
                serde_json::json!({"Type": "bind", "Source": source, "Destination": at});
        }
        self.write(&config, json.to_string());
    }

    /// A container over these layers, base first, the last its own; with an image of the others, named as it is.
    pub fn stack(&self, name: &str, layers: &[String]) {
        let (own, image) = layers.split_last().unwrap();
        let store = format!("var/lib/docker/image/{}", self.driver);
        let sha = |text: &str| format!("{:x}", Sha256::digest(text.as_bytes()));
        let mut chain: Option<String> = None;
        let mut diffs = Vec::new();
        for cache_id in image {
            let diff = format!("sha256:{}", sha(cache_id));
            let id = match &chain {
                None => diff[7..].to_owned(),
                Some(below) => sha(&format!("sha256:{below} {diff}")),
            };
            let at = format!("{store}/layerdb/sha256/{id}");
            self.write(&format!("{at}/diff"), &diff);
            self.write(&format!("{at}/cache-id"), cache_id);
            self.write(&format!("{at}/size"), "0");
            if let Some(below) = &chain {
                self.write(&format!("{at}/parent"), format!("sha256:{below}"));
            }
            diffs.push(diff);
            chain = Some(id);
        }
        let id = sha(name);
        let at = format!("{store}/layerdb/mounts/{id}");
        self.write(&format!("{at}/mount-id"), own);
        if let Some(top) = &chain {
            self.write(&format!("{at}/parent"), format!("sha256:{top}"));
        }
        let config =
            serde_json::json!({"rootfs": {"type": "layers", "diff_ids": diffs}, "comment": name})
                .to_string();
        let image_id = sha(&config);
        self.write(
            &format!("{store}/imagedb/content/sha256/{image_id}"),
            &config,
        );
        self.write(
            &format!("{store}/repositories.json"),
            r#"{"Repositories":{}}"#,
        );
        let config = serde_json::json!({"Name": format!("/{name}"), "Driver": self.driver, "Image": format!("sha256:{image_id}"), "State": {}, "Config": {}});
        let at = format!("var/lib/docker/containers/{id}");
        self.write(&format!("{at}/config.v2.json"), config.to_string());
        self.write(&format!("{at}/hostconfig.json"), "{}");
    }
}

/// A config.v2.json of a container of this name.
pub fn config(name: &str) -> String {
    format!(
        r#"{{"State":{{"Running":false,"Pid":0,"ExitCode":1,"StartedAt":"2024-01-01T00:00:00Z","FinishedAt":"2024-01-02T00:00:00Z"}},"Created":"2024-01-01T00:00:00Z","Config":{{"Image":"x"}},"Name":"/{name}","Driver":"overlay2"}}"#
    )
}

/// `gzip`, as rotated logs and records are.
pub fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes.as_ref()).unwrap();
    out.finish().unwrap()
}
