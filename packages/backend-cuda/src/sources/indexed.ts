/** Kernels whose elements come from, or go to, places that a tensor of indices names. */
import type { KernelSource } from '../driver/cudaDriver.js';
import { computeType, convert, eachElement, letterOf, PRELUDE, type Storage } from './types.js';

/** Marks an index that is out of range in `flag`: the host reads it where a wrong index must be an error. */
const inRange = (index: string, size: string) => `${index} >= 0 && ${index} < (int)${size}`;

/**
 * `out[b, o, i, s] = in[b, o, ids[b, i], s]`; zeros for indices out of range.
 * Parameters: count, result, input, ids, outer, size of the indexed axis, indices a batch, slice.
 */
export function gatherSource(storage: Storage): KernelSource {
  const name = `gather_${letterOf(storage)}`;
  return {
    name,
    signature: 'ipppiiii',
    code: `${PRELUDE}
extern "C" __global__ void ${name}(unsigned count, ${storage}* out, const ${storage}* in, const int* ids, unsigned outer, unsigned size, unsigned perBatch, unsigned slice) {${eachElement(`    const unsigned s = i % slice, k = i / slice % perBatch, line = i / slice / perBatch;
    const int id = ids[line / outer * perBatch + k];
    out[i] = ${inRange('id', 'size')} ? in[(line * size + id) * slice + s] : 0;`)}
}
`,
  };
}

/**
 * Flat row numbers of index tuples `[n, depth]`; −1 for a tuple out of range.
 * Parameters: n, result, tuples, depth, sizes and strides (int32, on the device: depth sizes, then depth strides).
 */
export const FLATTEN_INDICES: KernelSource = {
  name: 'flattenIndices',
  signature: 'ippip',
  code: `
extern "C" __global__ void flattenIndices(unsigned count, int* out, const int* tuples, unsigned depth, const int* layout) {${eachElement(`    int flat = 0;
    bool valid = true;
    for (unsigned d = 0; d < depth; d++) {
      const int index = tuples[i * depth + d];
      valid = valid && ${inRange('index', 'layout[d]')};
      flat += index * layout[depth + d];
    }
    out[i] = valid ? flat : -1;`)}
}
`,
};

/**
 * For a sum by segments in a fixed order: how many earlier elements have the same id, and how many there are of each
 * (`counts` begins at 0). Integer counting is exact in any order.
 * Parameters: n, ranks, counts, ids, segments.
 */
export const SEGMENT_RANK: KernelSource = {
  name: 'segmentRank',
  signature: 'ipppi',
  code: `
extern "C" __global__ void segmentRank(unsigned count, int* ranks, int* counts, const int* ids, unsigned segments) {${eachElement(`    const int id = ids[i];
    int rank = 0;
    if (${inRange('id', 'segments')}) {
      for (unsigned j = 0; j < i; j++) rank += ids[j] == id;
      atomicAdd(&counts[id], 1);
    }
    ranks[i] = rank;`)}
}
`,
};

/** Writes each element's number to its place in the list of its segment. Parameters: n, lists, ranks, ends, ids, segments. */
export const SEGMENT_LIST: KernelSource = {
  name: 'segmentList',
  signature: 'ippppi',
  code: `
extern "C" __global__ void segmentList(unsigned count, int* lists, const int* ranks, const int* begins, const int* ids, unsigned segments) {${eachElement(`    const int id = ids[i];
    if (${inRange('id', 'segments')}) lists[begins[id] + ranks[i]] = (int)i;`)}
}
`,
};

/**
 * `out[segment, s] = Σ in[element, s]` over the segment's list, first to last.
 * Parameters: count, result, input, lists, begins, counts, slice.
 */
export function segmentSumSource(storage: Storage): KernelSource {
  const name = `segmentSum_${letterOf(storage)}`;
  return {
    name,
    signature: 'ipppppi',
    code: `
extern "C" __global__ void ${name}(unsigned count, ${storage}* out, const ${storage}* in, const int* lists, const int* begins, const int* counts, unsigned slice) {${eachElement(`    const unsigned segment = i / slice, s = i % slice;
    const int begin = begins[segment], end = begin + counts[segment];
    ${computeType(storage)} sum = 0;
    for (int k = begin; k < end; k++) sum += in[(unsigned)lists[k] * slice + s];
    out[i] = sum;`)}
}
`,
  };
}

/**
 * Writes rows to the places that `ids` names; of several for one place the last one wins, whichever thread is first.
 * Parameters: count (`n · slice`), result, updates, ids, n, slice, 0 or 1 for one update for all.
 */
export function scatterLastSource(storage: Storage): KernelSource {
  const name = `scatterLast_${letterOf(storage)}`;
  return {
    name,
    signature: 'ipppiii',
    code: `
extern "C" __global__ void ${name}(unsigned count, ${storage}* out, const ${storage}* updates, const int* ids, unsigned n, unsigned slice, unsigned single) {${eachElement(`    const unsigned row = i / slice, s = i % slice;
    const int id = ids[row];
    bool last = id >= 0;
    for (unsigned j = row + 1; last && j < n; j++) last = ids[j] != id;
    if (last) out[(unsigned)id * slice + s] = updates[single ? 0 : i];`)}
}
`,
  };
}

/** `out[i, c] = ids[i] == c ? on : off`. Parameters: count, result, ids, depth, on, off. */
export function oneHotSource(storage: Storage): KernelSource {
  const name = `oneHot_${letterOf(storage)}`;
  return {
    name,
    signature: 'ippiff',
    code: `${PRELUDE}
extern "C" __global__ void ${name}(unsigned count, ${storage}* out, const int* ids, unsigned depth, float on, float off) {${eachElement(`    const float value = ids[i / depth] == (int)(i % depth) ? on : off;
    out[i] = ${convert('value', 'float', storage)};`)}
}
`,
  };
}

/** `out[i] = start + i · step`. Parameters: count, result, start, step. */
export function rangeSource(storage: Storage): KernelSource {
  const name = `range_${letterOf(storage)}`;
  const type = computeType(storage);
  return {
    name,
    signature: type === 'int' ? 'ipii' : 'ipff',
    code: `
extern "C" __global__ void ${name}(unsigned count, ${storage}* out, ${type} start, ${type} step) {${eachElement(`    out[i] = start + (${type})i * step;`)}
}
`,
  };
}
