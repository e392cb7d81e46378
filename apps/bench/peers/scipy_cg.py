"""Conjugate gradients in SciPy on a CSR matrix, float64.

`tolerance` is relative to ‖b‖, `report` is 'solution' (for timing) or 'residual' (‖b − Ax‖ / ‖b‖ of the solution).
"""
import inspect

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import cg

# SciPy 1.12 renamed the tolerance.
TOLERANCE = 'rtol' if 'rtol' in inspect.signature(cg).parameters else 'tol'


def prepare(inputs, params):
    pointers, indices = (inputs[name].numpy().astype(np.int32) for name in ('pointers', 'indices'))
    values, b = (inputs[name].double().numpy() for name in ('values', 'b'))
    matrix = csr_matrix((values, indices, pointers), shape=(len(b), len(b)))
    options = {TOLERANCE: params['tolerance'], 'atol': 0}

    def run():
        x, info = cg(matrix, b, **options)
        if info != 0:
            raise RuntimeError(f'no convergence: {info}')
        if params['report'] == 'solution':
            return [torch.from_numpy(x)]
        return [torch.tensor([np.linalg.norm(b - matrix @ x) / np.linalg.norm(b)])]

    return run
