#!/bin/sh
# A file of safetensors is a header in JSON and the numbers. Is the same content the same file?
#
# Guess: yes; the header's keys are sorted, as its tensors are by their sizes and names.
# Found: the metadata are kept in a hash table whose order is another each time: with eight keys, six calls that save the
# same dictionary in one process write six other files. The tensors are the same bytes. (The Python package is the
# Rust crate, which does the same.)
#
# In this project: `every_process_writes_the_same_bytes` in crates/vdvae/tests/it/exchange/safetensors.rs; the header is
# written by crates/formats/src/safetensors.rs, sorted.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet safetensors==0.8.0 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import json
import struct
from importlib.metadata import version

import numpy
from safetensors.numpy import save_file

print("safetensors", version("safetensors"))
metadata = {key: "value" for key in "abcdefgh"}
files, tensors, orders = set(), set(), []
for _ in range(6):
    save_file({"w": numpy.arange(6.0)}, "file.safetensors", metadata)
    content = open("file.safetensors", "rb").read()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    orders.append("".join(header["__metadata__"]))
    files.add(content)
    tensors.add(content[8 + length :])
print("orders of the metadata:", orders)
print(len(files), "different files of six,", len(tensors), "of the tensors' bytes")
assert len(files) > 1 and len(tensors) == 1
assert {"".join(sorted(order)) for order in orders} == {"abcdefgh"}
PYTHON
