import {
  defineFusedOp,
  type FusedKernel,
  fusedKernel,
  fusedKernelNames,
  registerFusedKernel,
} from '@orth/backend';
import { expectTensorClose } from '@orth/testing';
import {
  add,
  gather,
  getBackend,
  grad,
  grads,
  memory,
  mul,
  ones,
  square,
  sum,
  type Tensor,
  tensor,
  tensor1d,
} from '@tensorflow/tfjs-core';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';

type Scale = { scale: number };
const reference: FusedKernel<Scale> = ([x, y], { scale }) => mul(mul(square(x!), y!), scale);
const op = defineFusedOp<Scale>({ name: 'test/op', reference });

const x = tensor([1, -2, 3]);
const y = tensor([0.5, 4, -1]);
let runs = 0;

/** The same function by other tfjs ops, so that a test sees which one ran. */
const kernel: FusedKernel<Scale> = ([a, b], { scale }) => {
  runs++;
  return mul(square(a!), mul(b!, scale));
};

/** Until the end of the test. */
function register<Attributes>(name: string, backend: string, f: FusedKernel<Attributes>): void {
  onTestFinished(registerFusedKernel(name, backend, f));
}

beforeEach(() => {
  runs = 0;
});

test('without a kernel the reference runs, also when another backend has one', () => {
  register('test/op', 'some-other-backend', kernel);
  expectTensorClose(op([x, y], { scale: 2 }), tensor([1, 32, -18]));
  expect(runs).toBe(0);
});

test('with a kernel for the active backend the kernel runs, until it is removed', () => {
  const remove = registerFusedKernel('test/op', getBackend(), kernel);
  expectTensorClose(op([x, y], { scale: 2 }), tensor([1, 32, -18]));
  expect(runs).toBe(1);
  remove();
  op([x, y], { scale: 2 });
  expect(runs).toBe(1);
});

test('a later registration replaces an earlier one, whose removal then does nothing', () => {
  const removeFirst = registerFusedKernel<Scale>('test/op', getBackend(), () => ones([1]));
  register('test/op', getBackend(), kernel);
  removeFirst();
  expect(fusedKernel('test/op', getBackend())).toBe(kernel);
});

test('kernels are listed by backend, sorted', () => {
  register('test/b', 'listed', kernel);
  register('test/a', 'listed', kernel);
  expect(fusedKernelNames('listed')).toEqual(['test/a', 'test/b']);
  expect(fusedKernelNames('unlisted')).toEqual([]);
});

test('the gradient is the same with a kernel and without', () => {
  const gradients = () => grads((a, b) => sum(op([a!, b!], { scale: 3 })))([x, y]);
  const [dx, dy] = gradients();
  register('test/op', getBackend(), kernel);
  const [kernelDx, kernelDy] = gradients();
  expect(runs).toBe(1);
  expectTensorClose(dx!, tensor([3, -48, -18]));
  expectTensorClose(dy!, tensor([3, 12, 27]));
  expectTensorClose(kernelDx!, dx!);
  expectTensorClose(kernelDy!, dy!);
});

test('a gradient of its own is used with a kernel and without, on what was saved', () => {
  const gradient = vi.fn((dy: Tensor, { inputs, output }: { inputs: Tensor[]; output: Tensor }) => {
    expectTensorClose(inputs[0]!, x);
    expectTensorClose(output, tensor([2, 8, 18]));
    return [mul(dy, 100)];
  });
  const own = defineFusedOp<Scale>({
    name: 'test/own',
    reference: ([a], { scale }) => mul(square(a!), scale),
    gradient,
  });
  const dx = () => grad((a) => sum(own([a], { scale: 2 })))(x);
  expectTensorClose(dx(), tensor([100, 100, 100]));
  register<Scale>('test/own', getBackend(), ([a], { scale }) => {
    runs++;
    return mul(mul(a!, scale), a!);
  });
  expectTensorClose(dx(), tensor([100, 100, 100]));
  expect(runs).toBe(1);
  expect(gradient).toHaveBeenCalledTimes(2);
});

test('one tensor passed twice gets the sum of both gradients', () => {
  const dx = () => grad((a) => sum(op([a, a], { scale: 1 })))(x);
  const expected = tensor([3, 12, 27]);
  expectTensorClose(dx(), expected);
  register('test/op', getBackend(), kernel);
  expectTensorClose(dx(), expected);
});

test('an input without a gradient, such as indices, does not stop the others', () => {
  const pick = defineFusedOp<object>({
    name: 'test/pick',
    reference: ([values, indices]) => square(gather(values!, indices!)),
  });
  const indices = tensor1d([2, 2, 0], 'int32');
  const dx = () => grad((a) => sum(pick([a, indices], {})))(x);
  const expected = tensor([2, 0, 12]);
  expectTensorClose(dx(), expected);
  register<object>('test/pick', getBackend(), pick.definition.reference);
  expectTensorClose(dx(), expected);
});

test('second derivatives', () => {
  const second = () => grad((a) => sum(grad((b) => sum(op([b, y], { scale: 1 })))(a)))(x);
  const expected = mul(y, 2);
  expectTensorClose(second(), expected);
  register('test/op', getBackend(), kernel);
  expectTensorClose(second(), expected);
});

test('nothing is left behind, forward or backward, with a kernel and without', () => {
  const work = () => {
    op([x, y], { scale: 2 }).dispose();
    for (const d of grads((a, b) => sum(op([a!, b!], { scale: 3 })))([x, y])) d.dispose();
  };
  const before = memory().numTensors;
  work();
  expect(memory().numTensors).toBe(before);
  register('test/op', getBackend(), kernel);
  work();
  expect(memory().numTensors).toBe(before);
});

test('a second copy of the package shares kernels, gradients and the backend chosen', async () => {
  const first = await import('@orth/backend');
  vi.resetModules();
  const second = await import('@orth/backend');
  expect(second.defineFusedOp).not.toBe(first.defineFusedOp);

  onTestFinished(second.registerFusedKernel('test/op', getBackend(), kernel));
  expect(first.fusedKernelNames(getBackend())).toEqual(['test/op']);
  expectTensorClose(op([x, y], { scale: 2 }), tensor([1, 32, -18]));
  expect(runs).toBe(1);
  expect(second.backendInfo().reason).toBe('asked for by name');
  expectTensorClose(grad((a) => sum(add(a, a)))(x), tensor([2, 2, 2]));
});
