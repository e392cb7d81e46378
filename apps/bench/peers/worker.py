"""Runs PyTorch peers for the benches, one request a line (JSON) on stdin, one answer a line on stdout.

    {"op": "prepare", "script": S, "params": {...}, "inputs": {name: {"file": F, "shape": [...]}}} -> {"id": N}
    {"op": "time", "id": N, "runs": R}    -> {"ms": T}          R executions in a row, timed here
    {"op": "outputs", "id": N, "folder": D} -> {"outputs": [{"file": F, "shape": [...]}]}   of one execution
    {"op": "release", "id": N}            -> {}

A script S is the file S.py beside this one with `prepare(inputs, params) -> run`: `inputs` are float32 tensors, `run()`
executes once and returns a list of tensors. Files are raw little-endian float32, row-major. Whatever goes wrong is
answered as {"error": message}. The first line this program writes says what it is.
"""
import gc
import importlib
import json
import os
import sys
import time

import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


def blas_library():
    """The library that does torch's matrix products: it decides the speed more than torch does."""
    config = torch.__config__.show()
    torch.ones(64, 64) @ torch.ones(64, 64)  # loads it
    try:
        with open('/proc/self/maps') as maps:
            files = {line.split()[-1] for line in maps if '.so' in line}
    except OSError:
        files = set()
    names = [os.path.basename(file) for file in files]
    if any('openblas' in name for name in names):
        return 'OpenBLAS'
    if any('mkl_' in name for name in names) or 'Math Kernel Library' in config:
        return 'MKL'
    if any('blis' in name for name in names):
        return 'BLIS'
    if any(name.startswith('libblas.so') for name in names):
        return 'reference BLAS'
    return 'Accelerate' if 'accelerate' in config.lower() else 'unknown BLAS'


def read(spec):
    with open(spec['file'], 'rb') as file:
        data = bytearray(file.read())
    return torch.frombuffer(data, dtype=torch.float32).reshape(spec['shape']).clone()


class Worker:
    def __init__(self):
        self.prepared = {}
        self.next_id = 0

    def prepare(self, request):
        inputs = {name: read(spec) for name, spec in request['inputs'].items()}
        run = importlib.import_module(request['script']).prepare(inputs, request['params'])
        self.next_id += 1
        self.prepared[self.next_id] = run
        return {'id': self.next_id}

    def time(self, request):
        run = self.prepared[request['id']]
        # Like timeit: a collection that falls into one sample and not into the next is not the peer's doing.
        gc.disable()
        start = time.perf_counter()
        for _ in range(request['runs']):
            run()
        elapsed = time.perf_counter() - start
        gc.enable()
        return {'ms': elapsed * 1000}

    def outputs(self, request):
        written = []
        for index, output in enumerate(self.prepared[request['id']]()):
            file = os.path.join(request['folder'], f'output{index}')
            with open(file, 'wb') as stream:
                stream.write(output.detach().to(torch.float32).contiguous().numpy().tobytes())
            written.append({'file': file, 'shape': list(output.shape)})
        return {'outputs': written}

    def release(self, request):
        del self.prepared[request['id']]
        return {}


def main():
    threads = int(os.environ.get('OMP_NUM_THREADS', '0'))
    if threads:
        torch.set_num_threads(threads)
    hello = {
        'python': sys.version.split()[0],
        'torch': torch.__version__,
        'blas': blas_library(),
        'threads': torch.get_num_threads(),
    }
    print(json.dumps(hello), flush=True)
    worker = Worker()
    operations = {name: getattr(worker, name) for name in ('prepare', 'time', 'outputs', 'release')}
    with torch.no_grad():
        for line in sys.stdin:
            try:
                request = json.loads(line)
                answer = operations[request['op']](request)
            except Exception as error:  # any failure is the answer, and the next request still works
                answer = {'error': f'{type(error).__name__}: {error}'}
            print(json.dumps(answer), flush=True)


main()
