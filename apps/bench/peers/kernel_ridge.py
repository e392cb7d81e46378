"""Ridge regression on given features: NumPy's normal equations, or scikit-learn's KernelRidge with a linear kernel.

float64 as both are used; answers predictions on the training rows.
"""
import numpy as np
import torch


def prepare(inputs, params):
    F = inputs['F'].double().numpy()
    y = inputs['y'].double().numpy()
    ridge = params['ridge']
    if params['method'] == 'sklearn':
        from sklearn.kernel_ridge import KernelRidge

        def run():
            model = KernelRidge(alpha=ridge, kernel='linear').fit(F, y)
            return [torch.from_numpy(model.predict(F))]

        return run

    def run():
        K = F @ F.T
        return [torch.from_numpy(K @ np.linalg.solve(K + ridge * np.eye(len(F)), y))]

    return run
