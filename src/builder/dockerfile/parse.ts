/**
 * From text to syntax tree. All problems are found, not the first only; a file with problems still yields the
 * instructions that could be read, so that linting and editors can go on.
 */
import type {
  ArgInstruction,
  Dockerfile,
  FromInstruction,
  Instruction,
  Stage,
  StageInstruction,
} from './instructions.ts';
import { type LogicalLine, splitLines } from './lines.ts';
import { parseInstruction } from './parse-instruction.ts';
import { DockerfileError, Fault, type Problem, type SourceFile } from './source.ts';

/** More than any Dockerfile of people's; what is generated has its place in a file of the context. */
export const DOCKERFILE_LENGTH_MAX = 4 * 1024 * 1024;

export interface Parsed {
  readonly value: Dockerfile;
  readonly problems: readonly Problem[];
}

export function parseDockerfile(source: SourceFile): Parsed {
  if (source.text.length > DOCKERFILE_LENGTH_MAX) {
    const start = { line: 1, column: 1 };
    const message = `the file is longer than ${DOCKERFILE_LENGTH_MAX} characters`;
    return { value: empty(source), problems: [{ message, range: { start, end: start } }] };
  }
  const { lines, directives, escape, problems: lineProblems } = splitLines(source.text);
  const problems = [...lineProblems];
  const globalArgs: ArgInstruction[] = [];
  const stages: { from: FromInstruction; instructions: StageInstruction[] }[] = [];
  for (const line of lines) {
    const instruction = read(line, escape, problems);
    if (instruction === undefined) continue;
    const stage = stages.at(-1);
    if (instruction.keyword === 'FROM') stages.push({ from: instruction, instructions: [] });
    else if (stage !== undefined) stage.instructions.push(instruction);
    else if (instruction.keyword === 'ARG') globalArgs.push(instruction);
    else problems.push({ message: 'no build stage in current context', range: instruction.range });
  }
  const last = lines.at(-1);
  if (stages.length === 0 && problems.length === 0 && last !== undefined) {
    problems.push({ message: 'dockerfile contains no stages to build', range: last.range });
  }
  const value: Dockerfile = {
    source,
    directives,
    escape,
    globalArgs,
    stages: stages.map((stage, index): Stage => ({ index, ...stage })),
    emptyContinuations: lines.filter((line) => line.emptyContinuation).map((line) => line.range),
  };
  problems.sort((a, b) => a.range.start.line - b.range.start.line);
  return { value, problems };
}

const empty = (source: SourceFile): Dockerfile => ({
  source,
  directives: {},
  escape: '\\',
  globalArgs: [],
  stages: [],
  emptyContinuations: [],
});

function read(line: LogicalLine, escape: '\\' | '`', problems: Problem[]): Instruction | undefined {
  try {
    return parseInstruction(line, escape);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const { offset } = error;
    const range = offset === undefined ? line.range : { start: line.positionOf(offset), end: line.range.end };
    const suggestion = error.suggestion === undefined ? {} : { suggestion: error.suggestion };
    problems.push({ message: error.message, range, ...suggestion });
    return undefined;
  }
}

/** The tree of a Dockerfile without problems. Throws a DockerfileError for the first one. */
export function requireDockerfile(source: SourceFile): Dockerfile {
  const { value, problems } = parseDockerfile(source);
  const [problem] = problems;
  if (problem !== undefined) throw new DockerfileError(source, problem);
  return value;
}

/** An ONBUILD trigger of a base image. Throws a DockerfileError; what may not be a trigger is refused. */
export function parseTrigger(trigger: string, imageName: string): StageInstruction {
  const source = { name: `ONBUILD of ${imageName}`, text: trigger };
  const { lines, problems: found, escape } = splitLines(trigger);
  const problems = [...found];
  const [line] = lines;
  const instruction = line === undefined ? undefined : read(line, escape, problems);
  const range = { start: { line: 1, column: 1 }, end: { line: 1, column: trigger.length + 1 } };
  if (lines.length > 1) problems.push({ message: 'an ONBUILD trigger is one instruction', range });
  if (instruction?.keyword === 'FROM' || instruction?.keyword === 'MAINTAINER' || instruction?.keyword === 'ONBUILD') {
    problems.push({ message: `${instruction.keyword} isn't allowed as an ONBUILD trigger`, range });
  }
  const [problem] = problems;
  if (problem !== undefined) throw new DockerfileError(source, problem);
  if (instruction === undefined || instruction.keyword === 'FROM') {
    throw new DockerfileError(source, { message: 'file with no instructions', range });
  }
  return instruction;
}
