"""Orthogonalisation in plain PyTorch, float32.

`method` is 'muon', the five steps of the standard quintic written as torch.optim.Muon does them (older torch has no
such optimiser), or 'svd', the exact polar factor.
"""
import torch


def muon(x, steps, epsilon=1e-7):
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + epsilon)
    add_product = torch.addmm if x.ndim == 2 else torch.baddbmm
    for _ in range(steps):
        gram = x @ x.mT
        polynomial = add_product(gram, gram, gram, beta=b, alpha=c)
        x = add_product(x, polynomial, x, beta=a)
    return x.mT if tall else x


def svd(x):
    u, _, vh = torch.linalg.svd(x, full_matrices=False)
    return u @ vh


def prepare(inputs, params):
    x = inputs['x']
    if params['method'] == 'svd':
        return lambda: [svd(x)]
    return lambda: [muon(x, params['steps'])]
