#!/bin/sh
# A file of torch.save is a zip archive with a checksum for each entry. What are they worth?
#
# Guess: a checksum that is there is right, and torch.load refuses a file in which a weight has changed.
# Found: torch.serialization.set_crc32_options(False) writes 0 for every checksum: Python's zipfile calls such a file
# damaged, torch.load reads it. And torch.load looks at no checksum at all: with a flipped bit in a tensor, it loads
# another number without a word.
#
# In this project: `tensors_are_what_they_were_however_they_are_stored` and
# `a_changed_byte_shows_where_there_are_checksums` in crates/formats/tests/torch.rs.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet torch==2.15.0 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import struct
import zipfile

import torch

print("torch", torch.__version__)
weights = {"w": torch.arange(6.0)}

torch.save(weights, "checked.pt")
torch.serialization.set_crc32_options(False)
torch.save(weights, "unchecked.pt")
for name in ["checked.pt", "unchecked.pt"]:
    archive = zipfile.ZipFile(name)
    checksums = {entry.filename.split("/", 1)[1]: entry.CRC for entry in archive.infolist()}
    print(name, {key: hex(checksum) for key, checksum in checksums.items()})
    print("  zipfile finds damaged:", archive.testzip(), "- torch.load:", torch.load(name)["w"].tolist())
    is_checked = name == "checked.pt"
    assert any(checksums.values()) == is_checked
    assert (archive.testzip() is None) == is_checked
    assert torch.equal(torch.load(name)["w"], weights["w"])

content = bytearray(open("checked.pt", "rb").read())
content[content.find(struct.pack("<f", 3.0)) + 2] ^= 1
open("changed.pt", "wb").write(content)
damaged = zipfile.ZipFile("changed.pt").testzip()
loaded = torch.load("changed.pt")["w"].tolist()
print("one bit changed: zipfile finds damaged:", damaged, "- torch.load:", loaded)
assert damaged is not None and damaged.endswith("data/0")
assert loaded == [0.0, 1.0, 2.0, 3.015625, 4.0, 5.0]
PYTHON
