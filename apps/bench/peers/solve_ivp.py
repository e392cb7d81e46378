"""An initial value problem in SciPy: `solve_ivp`, Dormand and Prince's method of order 5(4), float64.

u' = u³ A on one point ('spiral'), or u' = tanh(u W1) W2 on a batch ('network'), from 0 to `end`.
"""
import numpy as np
import torch
from scipy.integrate import solve_ivp


def prepare(inputs, params):
    values = {name: tensor.double().numpy() for name, tensor in inputs.items()}
    start = values['u0']
    if params['problem'] == 'spiral':
        matrix = values['A']

        def dynamics(_, flat):
            return (flat.reshape(start.shape) ** 3 @ matrix).ravel()
    else:
        first, second = values['W1'], values['W2']

        def dynamics(_, flat):
            return (np.tanh(flat.reshape(start.shape) @ first) @ second).ravel()

    def run():
        solution = solve_ivp(
            dynamics,
            (0, params['end']),
            start.ravel(),
            method='RK45',
            rtol=params['tolerance'],
            atol=params['tolerance'],
            t_eval=[params['end']],
        )
        if not solution.success:
            raise RuntimeError(solution.message)
        return [torch.from_numpy(solution.y[:, -1])]

    return run
