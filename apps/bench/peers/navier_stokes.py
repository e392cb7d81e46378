"""Pseudo-spectral Navier-Stokes in NumPy, vorticity form, float64: Carpenter and Kennedy's five stages with Crank-Nicolson
for viscosity, |k| < n/3 kept of the advection, derivatives 0 at the Nyquist row and column. `w` is one field or a batch.
"""
import numpy as np
import torch

ALPHA = [0, 0.1496590219993, 0.3704009573644, 0.6222557631345, 0.9582821306748, 1]
BETA = [0, -0.4178904745, -1.192151694643, -1.697784692471, -1.514183444257]
GAMMA = [0.1496590219993, 0.3792103129999, 0.8229550293869, 0.6994504559488, 0.1530572479681]


def prepare(inputs, params):
    w0 = inputs['w'].double().numpy()
    n, dt, steps, viscosity = w0.shape[-1], params['dt'], params['steps'], params['viscosity']
    kx = np.fft.fftfreq(n, 1 / n)[:, None]
    ky = np.arange(n // 2 + 1)[None, :]
    square = kx**2 + ky**2
    inverse = np.where(square == 0, 0, 1 / np.where(square == 0, 1, square))
    inside = (np.abs(kx) != n / 2) & (ky != n / 2)
    dx, dy = 1j * kx * inside, 1j * ky * inside
    mask = ((np.abs(kx) < n / 3) & (ky < n / 3)).astype(float)
    symbol = -viscosity * square
    implicit = [dt * (ALPHA[k + 1] - ALPHA[k]) / 2 * symbol for k in range(5)]
    shape = (n, n)

    def explicit(w):
        psi = w * inverse
        u = np.fft.irfft2(dy * psi, s=shape)
        v = -np.fft.irfft2(dx * psi, s=shape)
        return -mask * np.fft.rfft2(u * np.fft.irfft2(dx * w, s=shape) + v * np.fft.irfft2(dy * w, s=shape))

    def run():
        w = np.fft.rfft2(w0)
        for _ in range(steps):
            h = 0
            for k in range(5):
                h = explicit(w) + BETA[k] * h
                m = implicit[k]
                w = (w + GAMMA[k] * dt * h + m * w) / (1 - m)
        return [torch.from_numpy(np.fft.irfft2(w, s=shape))]

    return run
