import { checkInteger, seededRandom } from '@orth/backend';

/**
 * Chooses `shots` images of each class at random, without repetition.
 *
 * @param labels - class numbers of all images, 0 … C − 1
 * @param shots - images a class, >= 1
 * @param seed - Default 0
 * @returns row numbers, by class
 * @throws TypeError or RangeError if a class has too few, naming it
 */
export function sampleShots(labels: ArrayLike<number>, shots: number, seed = 0): number[] {
  const caller = 'sampleShots';
  checkInteger(caller, 'shots', shots, { min: 1 });
  const byClass: number[][] = [];
  Array.from(labels).forEach((label, i) => {
    checkInteger(caller, 'labels', label, { min: 0 });
    while (byClass.length <= label) byClass.push([]);
    byClass[label]!.push(i);
  });
  const random = seededRandom(seed);
  return byClass.flatMap((rows, label) => {
    if (rows.length < shots) {
      throw new RangeError(
        `${caller}: shots must be at most the images of a class, got ${shots} for ${rows.length} of class ${label}`,
      );
    }
    return random.shuffle(rows).slice(0, shots);
  });
}
