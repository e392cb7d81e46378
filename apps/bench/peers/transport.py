"""Optimal transport in Python: POT, and in NumPy what POT 0.8 lacks.

`method` is 'sinkhorn' (ot.bregman.sinkhorn_log), 'quadratic' (ot.smooth.smooth_ot_semi_dual), 'sparse' (the semi-dual
with at most k non-zeros a column, by partition instead of a full sort, with SciPy's L-BFGS-B as POT uses it) or 'exact'
(ot.emd). float64 throughout; masses uniform unless given. `report` is 'plan' (nothing but the plan, for timing), 'error'
(l1 error of both marginals), 'cost' (as two float32) or 'memory' (peak of what is allocated beyond the inputs, MB).
"""
import tracemalloc

import numpy as np
import ot
import torch
from scipy.optimize import minimize


def sparse_semi_dual(a, b, cost, gamma, k, tolerance, max_iterations):
    n = cost.shape[1]
    columns = np.arange(n)
    ranks = np.arange(1, k + 1)[:, None]

    def plan_of(alpha):
        scores = (alpha[:, None] - cost) / gamma
        top = np.argpartition(-scores, k - 1, axis=0)[:k]
        values = np.take_along_axis(scores, top, 0)
        order = np.argsort(-values, axis=0)
        top = np.take_along_axis(top, order, 0)
        values = np.take_along_axis(values, order, 0)
        excess = np.cumsum(values, axis=0) - b
        rho = np.sum(values - excess / ranks > 0, axis=0)
        threshold = excess[rho - 1, columns] / rho
        return top, values, np.maximum(values - threshold, 0)

    def objective(alpha):
        top, values, masses = plan_of(alpha)
        value = alpha @ a - gamma * np.sum(masses * (values - masses / 2))
        rows = np.bincount(top.ravel(), weights=masses.ravel(), minlength=len(a))
        return -value, rows - a

    options = {'maxiter': max_iterations}
    solved = minimize(objective, np.zeros(len(a)), jac=True, method='L-BFGS-B', tol=tolerance, options=options)
    top, _, masses = plan_of(solved.x)
    plan = np.zeros_like(cost)
    np.put_along_axis(plan, top, masses, 0)
    return plan


def solver(params, a, b, cost):
    method, tolerance = params['method'], params.get('tolerance')
    if method == 'sinkhorn':
        return lambda: ot.bregman.sinkhorn_log(
            a, b, cost, params['epsilon'], numItermax=params['maxIterations'], stopThr=tolerance
        )
    if method == 'quadratic':
        return lambda: ot.smooth.smooth_ot_semi_dual(
            a, b, cost, params['gamma'], reg_type='l2', numItermax=params['maxIterations'], stopThr=tolerance
        )
    if method == 'sparse':
        return lambda: sparse_semi_dual(
            a, b, cost, params['gamma'], params['k'], tolerance, params['maxIterations']
        )
    return lambda: ot.emd(a, b, cost, numItermax=10_000_000)


def peak_memory(solve):
    # NumPy reports its arrays to tracemalloc; resident memory would not show what the allocator had kept.
    tracemalloc.start()
    solve()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20


def prepare(inputs, params):
    cost = inputs['cost'].double().numpy()
    m, n = cost.shape
    uniform = {'a': np.full(m, 1 / m), 'b': np.full(n, 1 / n)}
    a, b = (inputs[side].double().numpy() if side in inputs else uniform[side] for side in ('a', 'b'))
    solve = solver(params, a, b, cost)
    report = params.get('report', 'plan')
    if report == 'plan':
        return solve

    def run():
        if report == 'memory':
            return [torch.tensor([peak_memory(solve)])]
        plan = solve()
        if report == 'cost':
            value = (plan * cost).sum()
            return [torch.tensor([value, value - np.float32(value)])]
        return [torch.tensor([np.abs(plan.sum(1) - a).sum() + np.abs(plan.sum(0) - b).sum()])]

    return run
