//! A Docker Swarm node's certificate (`swarm/certificates/swarm-node.crt`): its subject says who the node is.
//!
//! swarmkit/ca/certificates.go writes O = cluster id, OU = `swarm-manager` or `swarm-worker`, CN = node id. Only
//! the names are read; nothing is verified.

use base64::Engine as _;

/// Who a node says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeCert {
    /// CN: the node's id.
    pub node_id: Option<String>,
    /// OU without its `swarm-`: manager or worker.
    pub role: Option<String>,
    /// O: the cluster's id.
    pub cluster_id: Option<String>,
}

/// Reads the first certificate of a PEM file; `None` when there is none.
pub fn parse(pem: &[u8]) -> Option<NodeCert> {
    let text = std::str::from_utf8(pem).ok()?;
    let body = text
        .split("-----BEGIN CERTIFICATE-----")
        .nth(1)?
        .split("-----END")
        .next()?;
    let base64: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    let der = base64::engine::general_purpose::STANDARD
        .decode(base64)
        .ok()?;
    // The issuer's names come first, so the subject's are the last of their kind.
    Some(NodeCert {
        node_id: last_name(&der, 3).filter(|cn| cn != "swarm-ca"),
        role: last_name(&der, 11).map(|ou| ou.trim_start_matches("swarm-").to_owned()),
        cluster_id: last_name(&der, 10),
    })
}

/// The value of the last attribute 2.5.4.`attribute` (X.520), as UTF8String or PrintableString.
fn last_name(der: &[u8], attribute: u8) -> Option<String> {
    let oid = [0x06, 0x03, 0x55, 0x04, attribute];
    memchr::memmem::rfind(der, &oid).and_then(|at| match der.get(at + oid.len()..)? {
        [0x0c | 0x13, len @ 0..=0x7f, rest @ ..] => {
            String::from_utf8(rest.get(..usize::from(*len))?.to_vec()).ok()
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn subject_not_issuer() {
        let name = |attr: u8, s: &str| {
            [
                &[0x06, 0x03, 0x55, 0x04, attr, 0x0c, s.len() as u8][..],
                s.as_bytes(),
            ]
            .concat()
        };
        let der = [
            name(3, "swarm-ca"),
            name(10, "cluster"),
            name(11, "swarm-manager"),
            name(3, "node"),
        ]
        .concat();
        let pem = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            base64::engine::general_purpose::STANDARD.encode(der)
        );
        let got = parse(pem.as_bytes()).unwrap();
        assert_eq!(
            got,
            NodeCert {
                node_id: Some("node".into()),
                role: Some("manager".into()),
                cluster_id: Some("cluster".into())
            }
        );
        assert_eq!(parse(b"nothing"), None);
    }

    proptest! {
        #[test]
        fn total(b in proptest::collection::vec(any::<u8>(), 0..100)) {
            last_name(&b, 3);
            parse(&b);
        }
    }
}
