"""Builds the layers that the functions import from, with pip, into a folder that is kept.

There are two, as a request takes 50 MB of zip: the runtime of the models with its numbers, and the
models with everything else. What no function needs is left out. Packages are taken by the hashes
in `requirements.txt` and `model.txt`, from pip's own index and cache.
"""

import compileall
import hashlib
import os
import pathlib
import platform
import py_compile
import shutil
import subprocess
import sys
import zipfile

HERE = pathlib.Path(__file__).parent
# Code and layers of a function together, as in Lambda.
UNZIPPED_MAX = 262_144_000
RUNTIME = ("numpy", "numpy.libs", "onnxruntime")
# Beside what is imported: tests, tools for making models, headers, AWS's other services.
LEFT_OUT = (
    "bin",
    "numpy/**/tests",
    "numpy/**/include",
    "numpy/f2py",
    "numpy/typing",
    "numpy/random/lib",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "onnxruntime/quantization",
    "onnxruntime/datasets",
    "onnxruntime/ThirdPartyNotices.txt",
    "boto3/examples",
    "**/*.pyi",
    "**/__pycache__",
)
SERVICES = ("s3", "sqs", "lambda")
MODELS = ("ch_PP-OCRv4_det_infer.onnx", "ch_PP-OCRv4_rec_infer.onnx")


VERSIONS = ((3, 11), (3, 14))


def folder(cache: pathlib.Path) -> pathlib.Path:
    """Where the layers for this Python, this machine and these packages are, or would be."""
    made_from = [file.read_bytes() for file in (HERE / "requirements.txt", HERE / "model.txt")]
    made_from.append(pathlib.Path(__file__).read_bytes())
    digest = hashlib.sha256(b"\0".join(made_from)).hexdigest()[:12]
    major, minor = sys.version_info[:2]
    return cache / f"layers-{digest}-py{major}{minor}-{platform.machine()}"


def build(cache: pathlib.Path) -> pathlib.Path:
    """The folder with `runtime.zip`, `model.zip`, and `python` with the packages themselves."""
    target = folder(cache)
    if target.exists():
        return target
    oldest, newest = VERSIONS
    if not oldest <= sys.version_info[:2] <= newest:
        raise SystemExit("the packages are pinned for Python 3.11 to 3.14; this is another one")
    work = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    packages = work / "python"
    install(packages, "requirements.txt")
    # Its own code is for older Pythons, and would bring OpenCV; the models are just files.
    install(work / "package", "model.txt", "--ignore-requires-python")
    models = work / "models"
    models.mkdir()
    for name in MODELS:
        shutil.move(work / "package" / "rapidocr_onnxruntime" / "models" / name, models / name)
    shutil.rmtree(work / "package")
    strip(packages)
    # Nothing can be written below /opt, so what is not compiled is compiled at every cold start.
    compileall.compile_dir(
        packages, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    pack(work)
    work.rename(target)
    return target


def install(target: pathlib.Path, requirements: str, *options: str) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-compile"]
    pip += ["--disable-pip-version-check", "--root-user-action=ignore"]
    pip += ["--no-deps", "--only-binary=:all:", "--require-hashes", "--target", str(target)]
    ended = subprocess.run([*pip, *options, "--requirement", str(HERE / requirements)], check=False)
    if ended.returncode:
        # It has said why; where it is missing, so has Python.
        raise SystemExit(f"pip cannot install what {requirements} names")


def strip(packages: pathlib.Path) -> None:
    found = [path for pattern in LEFT_OUT for path in packages.glob(pattern)]
    data = packages / "botocore" / "data"
    found += [path for path in data.iterdir() if path.is_dir() and path.name not in SERVICES]
    for path in found:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def pack(work: pathlib.Path) -> None:
    files = sorted(path for path in work.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    if size > UNZIPPED_MAX:
        raise SystemExit(f"the layers have {size:,} bytes, more than {UNZIPPED_MAX:,}")
    for name in ("runtime", "model"):
        with zipfile.ZipFile(work / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                inside = path.relative_to(work)
                if (inside.parts[1] in RUNTIME) == (name == "runtime"):
                    # The same bytes whenever it is built: a layer that is the same is not
                    # published again.
                    entry = zipfile.ZipInfo(str(inside), (2024, 1, 1, 0, 0, 0))
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    entry.external_attr = (path.stat().st_mode & 0o755 | 0o644) << 16
                    archive.writestr(entry, path.read_bytes())


def size(layers: pathlib.Path) -> int:
    """Bytes unzipped."""
    return sum(
        entry.file_size
        for name in ("runtime", "model")
        for entry in zipfile.ZipFile(layers / f"{name}.zip").infolist()
    )


if __name__ == "__main__":
    made = build(pathlib.Path(sys.argv[1]))
    print(
        made,
        f"{size(made):,}",
        *(f"{(made / f'{n}.zip').stat().st_size:,}" for n in ("runtime", "model")),
    )
