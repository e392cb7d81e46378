"""Dictionaries, robust low-rank recovery and clustering in Python: scikit-learn, and in NumPy what it lacks.

`method` is 'stream' (MiniBatchDictionaryLearning.partial_fit, batch by batch, from a random start), 'batch'
(DictionaryLearning on all samples), 'subgm' (the same subgradient steps in NumPy), 'spectral' (SpectralClustering on an
affinity), or 'ssc' (Lasso for each point). Outputs: the dictionary with atoms as columns, X, labels, or C.
"""
import warnings

import numpy as np
import torch
from sklearn.cluster import SpectralClustering
from sklearn.decomposition import DictionaryLearning, MiniBatchDictionaryLearning
from sklearn.linear_model import Lasso

warnings.filterwarnings('ignore')


def as_tensors(*arrays):
    return [torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)) for x in arrays]


def stream(inputs, params):
    samples = inputs['Y'].numpy().T.astype(np.float64)
    batch = params['batch']
    batches = [samples[i : i + batch] for i in range(0, len(samples), batch)]

    def run():
        learner = MiniBatchDictionaryLearning(
            n_components=samples.shape[1], alpha=params['alpha'], batch_size=batch, random_state=0
        )
        for each in batches:
            learner.partial_fit(each)
        return as_tensors(learner.components_.T)

    return run


def batch(inputs, params):
    samples = inputs['Y'].numpy().T.astype(np.float64)

    def run():
        learner = DictionaryLearning(
            n_components=samples.shape[1], alpha=params['alpha'], max_iter=params['iterations'],
            fit_algorithm='cd', random_state=0,
        )
        learner.fit(samples)
        return as_tensors(learner.components_.T)

    return run


def subgm(inputs, params):
    matrices = inputs['A'].numpy()
    m, d, _ = matrices.shape
    flat = matrices.reshape(m, d * d)
    y, start = inputs['y'].numpy(), inputs['U0'].numpy()

    def run():
        U = start.copy()
        for t in range(params['steps']):
            residual = flat @ (U @ U.T).ravel() - y
            Z = (np.sign(residual) @ flat).reshape(d, d) / m
            Q = (Z + Z.T) / 2
            U = U - (params['eta0'] * params['rho'] ** t / np.linalg.norm(Q)) * (Q @ U)
        return as_tensors(U @ U.T)

    return run


def spectral(inputs, params):
    W = inputs['W'].numpy().astype(np.float64)

    def run():
        model = SpectralClustering(
            n_clusters=params['clusters'], affinity='precomputed', n_init=20, random_state=0
        )
        return as_tensors(model.fit_predict(W))

    return run


def ssc(inputs, params):
    X = inputs['X'].numpy().astype(np.float64)
    n, d = X.shape
    G = X @ X.T

    def run():
        C = np.zeros((n, n))
        for i in range(n):
            others = np.delete(np.arange(n), i)
            weight = np.abs(G[i, others]).max() / params['alpha']
            model = Lasso(alpha=weight / d, fit_intercept=False, tol=params['tolerance'], max_iter=10000)
            C[i, others] = model.fit(X[others].T, X[i]).coef_
        return as_tensors(C)

    return run


def prepare(inputs, params):
    methods = {'stream': stream, 'batch': batch, 'subgm': subgm, 'spectral': spectral, 'ssc': ssc}
    return methods[params['method']](inputs, params)
