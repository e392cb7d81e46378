"""The Lasso and unrolled ISTA in Python.

`method` is 'lasso' (scikit-learn's coordinate descent on one row of `y` after another), 'path' (its lasso_path on the
`lambdas` for the first row), 'fista' (constant step 1/L, float32 in torch, a batch at once, `iterations` of them) or
'unrolled' (T layers of ISTA with the step sizes `alphas`, the same). `report` is 'objective' (½‖y − A x‖² + λ‖x‖₁ of each
row or λ, as high and low part in float32) or absent (nothing but the solution, for timing).
"""
import numpy as np
import torch


def soft(z, s):
    return torch.sign(z) * torch.relu(torch.abs(z) - s)


def unrolled(A, y, lam, alphas):
    x = torch.zeros(y.shape[0], A.shape[1])
    for a in alphas:
        z = x + a * ((y - x @ A.T) @ A)
        x = soft(z, a * lam)
    return x


def fista(A, y, lam, iterations):
    step = 1 / torch.linalg.matrix_norm(A, 2) ** 2
    x = z = torch.zeros(y.shape[0], A.shape[1])
    t = 1.0
    for _ in range(iterations):
        new = soft(z + step * ((y - z @ A.T) @ A), step * lam)
        after = (1 + (1 + 4 * t * t) ** 0.5) / 2
        z = new + (t - 1) / after * (new - x)
        x, t = new, after
    return x


def solver(inputs, params):
    A, y = inputs['A'], inputs['y']
    method, lam = params['method'], params.get('lambda')
    if method == 'unrolled':
        alphas = inputs['alphas'].tolist()
        return lambda: unrolled(A, y, lam, alphas)
    if method == 'fista':
        return lambda: fista(A, y, lam, params['iterations'])
    import sklearn.linear_model as linear

    X, Y, m = np.asfortranarray(A.double().numpy()), y.double().numpy(), A.shape[0]
    if method == 'path':
        # scikit-learn divides the data term by the number of rows.
        alphas = [value / m for value in params['lambdas']]
        return lambda: torch.from_numpy(
            linear.lasso_path(X, Y[0], alphas=alphas, tol=params['tolerance'], max_iter=100000)[1].T.copy()
        )
    model = linear.Lasso(alpha=lam / m, fit_intercept=False, tol=params['tolerance'], max_iter=100000)
    return lambda: torch.from_numpy(np.stack([model.fit(X, row).coef_.copy() for row in Y]))


def prepare(inputs, params):
    solve = solver(inputs, params)
    if params.get('report') != 'objective':
        return lambda: [solve()]
    A, y = inputs['A'].double(), inputs['y'].double()
    lam = params.get('lambda')
    if lam is None:
        lam = torch.tensor(params['lambdas'], dtype=torch.float64)
        y = y[:1]

    def run():
        x = solve().double()
        value = ((y - x @ A.T) ** 2).sum(1) / 2 + lam * x.abs().sum(1)
        high = value.float()
        return [high, (value - high.double()).float()]

    return run
