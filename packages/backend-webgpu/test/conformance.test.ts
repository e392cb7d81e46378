/** Runs on every backend; only WebGPU has the kernel and the devices' peculiarities. */
import { defineFusedOp, registerFusedKernel } from '@orth/backend';
import { runWgsl } from '@orth/backend-webgpu';
import { add, getBackend, grad, memory, mul, sum, tensor, tidy } from '@tensorflow/tfjs-core';
import { expect, onTestFinished, test } from 'vitest';

const onWebgpu = getBackend() === 'webgpu';
const inNode = typeof window === 'undefined';

/** scale · x + y, with a derivative that automatic differentiation would not give: the op's own must be used. */
const scaleAdd = defineFusedOp<{ scale: number }>({
  name: 'test/scaleAdd',
  reference: ([x, y], { scale }) => tidy(() => add(mul(x!, scale), y!)),
  gradient: (dy, { inputs: [x] }, { scale }) => [
    tidy(() => add(mul(dy, scale), mul(x!, 0))),
    mul(dy, 7),
  ],
});

let kernelRuns = 0;
function registerScaleAdd(): void {
  kernelRuns = 0;
  onTestFinished(
    registerFusedKernel<{ scale: number }>('test/scaleAdd', 'webgpu', ([x, y], { scale }) => {
      kernelRuns++;
      return runWgsl({
        name: 'test/scaleAdd',
        inputs: { x: x!, y: y! },
        outputShape: x!.shape,
        uniforms: { scale: { type: 'f32', value: scale } },
        code: `fn main(index : i32) {
          if (index < uniforms.size) { result[index] = uniforms.scale * x[index] + y[index]; }
        }`,
      });
    }),
  );
}

const values = (n: number) => Float32Array.from({ length: n }, (_, i) => Math.fround(Math.sin(i)));

test('a fused op runs the WGSL kernel on WebGPU and the reference elsewhere, with one result', async () => {
  registerScaleAdd();
  const [x, y] = [tensor(values(130), [13, 10]), tensor(values(130).reverse(), [13, 10])];
  for (const scale of [3, -0.5]) {
    const fused = await scaleAdd([x, y], { scale }).data();
    const reference = await scaleAdd.definition.reference([x, y], { scale }).data();
    for (let i = 0; i < fused.length; i++) expect(fused[i]).toBeCloseTo(reference[i]!, 5);
  }
  expect(kernelRuns).toBe(onWebgpu ? 2 : 0);
});

test("the gradient is the op's own, with and without a kernel", async () => {
  registerScaleAdd();
  const [x, y] = [tensor(values(6), [2, 3]), tensor(values(6), [2, 3])];
  const dx = grad((z) => sum(scaleAdd([z, y], { scale: 3 })))(x);
  const dy = grad((z) => sum(scaleAdd([x, z], { scale: 3 })))(y);
  expect([...(await dx.data())]).toEqual(Array(6).fill(3));
  expect([...(await dy.data())]).toEqual(Array(6).fill(7));
});

test('a kernel leaves no tensor behind but its result', () => {
  registerScaleAdd();
  const [x, y] = [tensor(values(6)), tensor(values(6))];
  const before = memory().numTensors;
  scaleAdd([x, y], { scale: 2 }).dispose();
  grad((z) => sum(scaleAdd([z, y], { scale: 3 })))(x).dispose();
  expect(memory().numTensors).toBe(before);
});

test('workgroups of its own choice: a row sum through shared memory', async () => {
  const rows = 5;
  const columns = 70;
  const x = tensor(values(rows * columns), [rows, columns]);
  const result = onWebgpu
    ? runWgsl({
        name: 'test/rowSum',
        inputs: { x },
        outputShape: [rows],
        workgroupSize: [32, 1, 1],
        dispatch: [rows, 1, 1],
        code: `
          var<workgroup> partial : array<f32, 32>;
          fn main() {
            let row = i32(workgroupId.x);
            let columns = uniforms.xShape.y;
            var total = 0.0;
            for (var j = i32(localId.x); j < columns; j += 32) { total += x[row * columns + j]; }
            partial[localId.x] = total;
            workgroupBarrier();
            if (localId.x == 0u) {
              var all = 0.0;
              for (var j = 0; j < 32; j++) { all += partial[j]; }
              result[row] = all;
            }
          }`,
      })
    : sum(x, 1);
  const want = await sum(x, 1).data();
  const got = await result.data();
  for (let i = 0; i < rows; i++) expect(got[i]).toBeCloseTo(want[i]!, 4);
});

test('runWgsl refuses programs that cannot run', () => {
  const x = tensor([1, 2]);
  const code = 'fn main(index : i32) {}';
  if (!onWebgpu) {
    const program = { name: 'a', inputs: { x }, outputShape: [2], code };
    expect(() => runWgsl(program)).toThrow(/active backend must be webgpu, got \w+/);
    return;
  }
  const run = (change: object) => () =>
    runWgsl({ name: 'a', inputs: { x }, outputShape: [2], code, ...change });
  expect(run({ colour: 1 })).toThrow(/unknown option "colour"/);
  expect(run({ inputs: { result: x } })).toThrow(/inputs must have names/);
  expect(run({ outputDtype: 'complex64' })).toThrow(/outputDtype must be one of/);
  expect(run({ uniforms: { a: { type: 'f32', value: [] } } })).toThrow(/1 to 4 numbers/);
  expect(run({ uniforms: { a: { type: 'f16', value: 1 } } })).toThrow(/uniforms.a.type/);
});

test('a synchronous read gives the bits of an asynchronous one, or throws in Node', async () => {
  // Numbers of all byte patterns: tfjs reads them as pixels of a canvas, which must neither round nor blend. More than
  // one canvas row, and more than tfjs would keep on the host.
  const bits = Uint32Array.from({ length: 1500 }, (_, i) => Math.imul(i, 0x9e3779b1) & 0xbf7fffff);
  const x = tensor(new Float32Array(bits.buffer));
  const [a, b] = [mul(x, 2), mul(x, 2)];
  if (onWebgpu && inNode) {
    expect(() => a.dataSync()).toThrow(/await tensor\.data\(\)/);
    return;
  }
  const [got, want] = [a.dataSync(), await b.data()];
  expect(new Uint32Array(got.buffer, got.byteOffset, 1500)).toEqual(
    new Uint32Array(want.buffer, want.byteOffset, 1500),
  );
});
