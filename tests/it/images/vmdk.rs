//! VMDK: descriptors and extents.

use super::{NEEDS, OTHER, Place, SECTORS, copy, descriptor, make, patch, sparse};
use crate::support::{has, must, text};
use std::fs;

#[test]
fn vmdk_descriptors_lead_nowhere() {
    if !has(NEEDS) {
        return;
    }
    let place = Place::new();
    let canary = place.canary();
    let to = text(&canary);
    let flat = |name: &str| descriptor(&format!("RW {SECTORS} FLAT \"{name}\" 0"));
    // Names.
    for name in [
        to,
        "../outside/canary.raw",
        "./../outside/canary.raw",
        "nbd:unix:/tmp/socket",
        "nbd://127.0.0.1/x",
        "fd:3",
        "file:../outside/canary.raw",
        &format!("json:{{\"driver\":\"file\",\"filename\":\"{to}\"}}"),
        "/dev/fdset/1",
        "..",
        ".",
        "",
        "..\\outside\\canary.raw",
    ] {
        let name = name.replace('"', "'");
        let image = place.write("names.vmdk", flat(&name));
        place.refused(&image, 2, "leads to another file");
    }
    // Blanks of C's, other words, and lines that only QEMU understands.
    for (line, why) in [
        (
            format!("RW\u{b}{SECTORS}\u{b}FLAT\u{b}\"{to}\"\u{b}0"),
            "control characters",
        ),
        (
            format!("RW\u{c}{SECTORS}\u{c}FLAT \"{to}\" 0"),
            "control characters",
        ),
        (
            format!("\u{b}RW {SECTORS} FLAT \"{to}\" 0"),
            "control characters",
        ),
        (
            format!("a=b\0\nRW {SECTORS} FLAT \"{to}\" 0"),
            "control characters",
        ),
        (
            format!("rw {SECTORS} FLAT \"{to}\" 0"),
            "does not understand",
        ),
        (format!("RW {SECTORS} flat \"x\" 0"), "does not understand"),
        (format!("RW {SECTORS} FLAT \"{to} 0"), "does not understand"),
        (
            format!("RW {SECTORS} FLAT \"x\" 0 \"{to}\""),
            "does not understand",
        ),
        (format!("RW {SECTORS} FLAT '{to}' 0"), "does not understand"),
        (format!("RW +{SECTORS} ZERO"), "does not understand"),
        ("RW 0 ZERO".into(), "does not understand"),
        (
            format!("parentFileNameHint=\"{to}\""),
            "difference to another image",
        ),
        (
            format!("PARENTFILENAMEHINT = \"{to}\"\nparentCID=00000001"),
            "difference to another image",
        ),
        ("parentCID=00000001".into(), "difference to another image"),
        (
            "CID=2\nparentCID=ffffffff\nparentCID = 1".into(),
            "difference to another image",
        ),
        ("".into(), "no extents"),
    ] {
        let image = place.write("lines.vmdk", descriptor(&line));
        place.refused(&image, 2, why);
    }
    let image = place.write("case.vmdk", {
        let text = flat(to);
        [b"# dISK dESCRIPTORfILE".as_slice(), &text[21..]].concat()
    });
    place.refused(&image, 2, "leads to another file");
    // Files that are no plain ones.
    for what in OTHER {
        for kind in ["FLAT \"e.vmdk\" 0", "SPARSE \"e.vmdk\"", "VMFS \"e.vmdk\""] {
            make(what, &place.image("e.vmdk"), &canary);
            let image = place.write("other.vmdk", descriptor(&format!("RW {SECTORS} {kind}")));
            place.refused(&image, 2, what);
        }
    }
    let _ = fs::remove_file(place.image("e.vmdk"));
    // Names that would speak to a terminal.
    for name in ["a\u{9b}31m", "a\u{202e}b"] {
        let image = place.write("speaks.vmdk", flat(name));
        let (code, said) = place.attack(&image);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("No such file"), "{said}");
        assert!(!said.contains(['\u{9b}', '\u{202e}']), "{said}");
    }
    let image = place.write("gone.vmdk", flat("gone"));
    place.refused(&image, 3, "gone: No such file");
}

#[test]
fn vmdk_extents_lead_nowhere() {
    if !has(NEEDS) {
        return;
    }
    let place = Place::new();
    let canary = place.canary();
    let inner = descriptor(&format!("RW {SECTORS} FLAT \"{}\" 0", canary.display()));
    // A header of no sectors: QEMU takes it for a descriptor, and reads more of it than the header says.
    let beyond = [vec![b'#'; 512], vec![b'\n'], inner.clone()].concat();
    for (n, text) in [(1, &beyond), (20, &inner), (0, &inner)] {
        let image = place.write("none.vmdk", sparse(0, n, text));
        place.refused(&image, 2, "of no sectors");
        // The same as an extent.
        let outer = place.write(
            "outer.vmdk",
            descriptor(&format!("RW {SECTORS} SPARSE \"none.vmdk\"")),
        );
        place.refused(&outer, 2, "of no sectors");
    }
    // An extent that is a descriptor itself: as a sparse one refused, as a flat one the disk's bytes.
    place.write("inner.vmdk", &inner);
    let outer = place.write("outer.vmdk", descriptor("RW 512 SPARSE \"inner.vmdk\""));
    place.refused(&outer, 2, "does not begin as one");
    let outer = place.write("outer.vmdk", descriptor("RW 512 FLAT \"inner.vmdk\" 0"));
    place.refused(&outer, 3, "no volume");
    // As a flat one, a qcow2 image that has the canary below it.
    let backed = place.image("backed.qcow2");
    let backing = [
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        text(&canary),
        "-F",
        "raw",
        text(&backed),
    ];
    must("qemu-img", &backing);
    let outer = place.write("outer.vmdk", descriptor("RW 1024 FLAT \"backed.qcow2\" 0"));
    place.refused(&outer, 3, "no volume");
    // An extent whose own descriptor has a parent, or leads elsewhere.
    let real = place.converted("real.vmdk", "vmdk", "subformat=monolithicSparse");
    let at = u64::from_le_bytes(fs::read(&real).unwrap()[28..36].try_into().unwrap()) * 512;
    let put = |text: &[u8]| {
        let image = copy(&real, "changed.vmdk");
        let mut area = text.to_vec();
        area.resize(20 * 512, 0);
        patch(&image, at, &area);
        image
    };
    let parent = format!("parentFileNameHint=\"{}\"", canary.display());
    place.refused(&put(&descriptor(&parent)), 2, "difference");
    place.refused(&put(&inner), 2, "leads to another file");
    place.refused(
        &put(&descriptor("RW 9 FLAT \"real.vmdk\" 0")),
        2,
        "more than itself",
    );
    place.mounted(&real);
    // Behind another name it still is its own extent.
    place.mounted(&copy(&real, "renamed.vmdk"));
    // The header at a stream's end counts as well.
    let stream = place.converted("stream.vmdk", "vmdk", "subformat=streamOptimized");
    place.mounted(&stream);
    let end = fs::metadata(&stream).unwrap().len() - 1024;
    let head = fs::read(&stream).unwrap();
    if head[56..64] == [0xff; 8] {
        let changed = copy(&stream, "footer.vmdk");
        patch(&changed, end + 12, &[0; 8]);
        place.refused(&changed, 2, "at a sparse extent's end");
    }
    let cut = copy(&real, "cut.vmdk");
    patch(&cut, 56, &[0xff; 8]);
    place.refused(&cut, 2, "at a sparse extent's end");
    // Sound ones: in pieces, with letters that are not English, and one after the other.
    place.converted("flat.vmdk", "vmdk", "subformat=monolithicFlat");
    place.mounted(&place.image("flat.vmdk"));
    place.mounted(&place.converted("two.vmdk", "vmdk", "subformat=twoGbMaxExtentSparse"));
    fs::rename(
        place.image("flat-flat.vmdk"),
        place.image("\u{76d8} f=.vmdk"),
    )
    .unwrap();
    let half = SECTORS / 2;
    let image = place.write("halves.vmdk", descriptor(&format!(
        "RW {half} FLAT \"\u{76d8} f=.vmdk\" 0\r\nRDONLY {half}\tFLAT \"\u{76d8} f=.vmdk\" {half}\nRW 8 ZERO"
    )));
    place.mounted(&image);
    // Extents that do not fill their place.
    let image = place.write(
        "short.vmdk",
        descriptor(&format!(
            "RW {} SPARSE \"real.vmdk\"\nRW 8 ZERO",
            SECTORS + 64
        )),
    );
    let (code, said) = place.attack(&image);
    assert!(
        said.contains("Ext4 OWN") && said.contains("extent real.vmdk has"),
        "{said}"
    );
    assert_eq!(code, 1);
}
