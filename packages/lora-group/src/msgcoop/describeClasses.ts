import { checkOptions } from '@orth/backend';
import { checkNames, spaced } from './classNames.js';

/** Options of {@link describeClasses}. */
export interface DescribeClassesOptions {
  /** Questions about a class. Default: {@link DESCRIPTION_QUESTIONS} */
  readonly questions?: readonly ((name: string) => string)[];
  /** Called after each class. */
  readonly onClass?: (progress: { done: number; total: number; name: string }) => void;
  /** Stops before the next class. */
  readonly signal?: AbortSignal;
}

const SHORT = 'Answer with one phrase of at most 20 words and nothing else.';

/** Five questions to a language model about how a class looks. A low temperature (the authors': 0.3) suits them. */
export const DESCRIPTION_QUESTIONS: readonly ((name: string) => string)[] = [
  (name) => `What does a ${name} look like? ${SHORT}`,
  (name) => `By what visible features does one recognise a ${name} in a photo? ${SHORT}`,
  (name) => `What shape, colours and textures does a ${name} have? ${SHORT}`,
  (name) => `What tells a ${name} apart from things that look similar? ${SHORT}`,
  (name) => `In what surroundings is a ${name} usually photographed? ${SHORT}`,
];

/**
 * Has a language model describe classes: for each the answers to all questions, in one line, without empty ones or
 * repetitions. The model is yours; classes are asked for one by one, the questions of one at once.
 *
 * @param names - of C classes
 * @param llm - gives the answer to a prompt
 * @returns descriptions of each class, for `MSGCoOp`'s `descriptions`
 * @throws (rejects with) TypeError for a wrong argument; RangeError if a class got no description, naming it; what `llm`
 *   rejects with
 */
export async function describeClasses(
  names: readonly string[],
  llm: (prompt: string) => Promise<string>,
  options: DescribeClassesOptions = {},
): Promise<string[][]> {
  const caller = 'describeClasses';
  checkNames(caller, names);
  if (typeof llm !== 'function') {
    throw new TypeError(`${caller}: llm must be a function, got ${typeof llm}`);
  }
  checkOptions(caller, options, ['questions', 'onClass', 'signal']);
  const { questions = DESCRIPTION_QUESTIONS, onClass, signal } = options;
  if (!Array.isArray(questions as unknown) || questions.length === 0) {
    throw new TypeError(`${caller}: questions must be functions, at least one, got none`);
  }
  const all: string[][] = [];
  for (const name of names) {
    signal?.throwIfAborted();
    const answers = await Promise.all(questions.map((question) => llm(question(spaced(name)))));
    const texts = answers.map((answer) => tidyAnswer(String(answer))).filter((text) => text !== '');
    if (texts.length === 0) {
      throw new RangeError(
        `${caller}: llm must describe ${JSON.stringify(name)}, got ${answers.length} empty answers`,
      );
    }
    all.push([...new Set(texts)]);
    onClass?.({ done: all.length, total: names.length, name });
  }
  return all;
}

/** One line, without quotation marks and dots around it: it goes on `a photo of {name}, …`. */
const tidyAnswer = (answer: string): string =>
  answer
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/^["'“”‘’\s]+|["'“”‘’.\s]+$/g, '');
