//! Data roots named on a dockerd command line: in systemd units and their drop-ins (systemd.service(5)), and in the
//! shell-like files beside them (`/etc/default/docker`, `/etc/sysconfig/docker`).

/// The data root the text gives to dockerd, the last one where there are several: `--data-root`, its older name
/// `--graph`, or `-g`, with `=` or a blank. Comments and continued lines are understood.
pub fn data_root(text: &str) -> Option<String> {
    let joined = text.replace("\\\n", " ");
    let mut found = None;
    for line in joined
        .lines()
        .map(str::trim)
        .filter(|l| !l.starts_with(['#', ';']))
    {
        let mut words = line
            .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\''))
            .filter(|w| !w.is_empty());
        while let Some(word) = words.next() {
            let flag = word
                .rsplit_once("=-")
                .map_or(word, |(_, f)| &word[word.len() - f.len() - 1..]);
            let value = match flag.split_once('=') {
                Some(("--data-root" | "--graph" | "-g", value)) => Some(value),
                _ if matches!(flag, "--data-root" | "--graph" | "-g") => words.next(),
                _ => None,
            };
            found = value
                .filter(|v| v.starts_with('/'))
                .map(str::to_owned)
                .or(found);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_way_to_write_it() {
        for text in [
            "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H fd:// --data-root=/srv/docker\n",
            "ExecStart=/usr/bin/dockerd --data-root /srv/docker -H fd://",
            "ExecStart=/usr/bin/dockerd \\\n  -g /srv/docker \\\n  --debug",
            "DOCKER_OPTS=\"--dns 8.8.8.8 --graph=/srv/docker\"",
            "OPTIONS='-g=/srv/docker'",
            "DOCKER_OPTS=--data-root=/srv/docker",
            "# --data-root=/old\nX=\"--data-root=/a --data-root=/srv/docker\"",
        ] {
            assert_eq!(data_root(text).as_deref(), Some("/srv/docker"), "{text}");
        }
        assert_eq!(
            data_root("#DOCKER_OPTS=\"-g /x\"\nExecStart=/usr/bin/dockerd -H fd:// $DOCKER_OPTS"),
            None
        );
    }

    proptest! {
        #[test]
        fn total(s in any::<String>()) {
            data_root(&s);
        }
    }
}
