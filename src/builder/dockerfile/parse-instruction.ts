/**
 * One logical line to one typed instruction. Counts of arguments, flags and messages are BuildKit's; every failure is a
 * Fault that knows its offset in the line where there is one.
 */
import { copyOrAdd } from './parse-copy.ts';
import { type FlagTable, Flags } from './flags.ts';
import type {
  ArgInstruction,
  CommandLine,
  EnvInstruction,
  FromInstruction,
  Instruction,
  Keyword,
  LabelInstruction,
  OnbuildInstruction,
  Pair,
  RunInstruction,
} from './instructions.ts';
import type { LogicalLine } from './lines.ts';
import { checkUnexpandedMount, parseMount } from './mount.ts';
import { healthcheck } from './parse-healthcheck.ts';
import { atLeastOne, type Reading, requiresOne, texts } from './reading.ts';
import { Fault } from './source.ts';
import { suggest } from './suggest.ts';
import {
  jsonWords,
  nameValues,
  plainWords,
  quotedWords,
  type SplitLine,
  splitInstruction,
  type Token,
} from './words.ts';

type Reader = (reading: Reading) => Instruction;

const readers: Readonly<Record<Keyword, Reader>> = {
  ADD: (reading) => copyOrAdd(reading, 'ADD'),
  ARG: arg,
  CMD: (reading) => command(reading, 'CMD'),
  COPY: (reading) => copyOrAdd(reading, 'COPY'),
  ENTRYPOINT: (reading) => command(reading, 'ENTRYPOINT'),
  ENV: (reading) => pairs(reading, 'ENV'),
  EXPOSE: (reading) => {
    noFlags(reading);
    return { ...reading.node, keyword: 'EXPOSE', ports: atLeastOne('EXPOSE', texts(plainWords(reading.split.rest))) };
  },
  FROM: from,
  HEALTHCHECK: healthcheck,
  LABEL: (reading) => pairs(reading, 'LABEL'),
  MAINTAINER: (reading) => ({ ...reading.node, keyword: 'MAINTAINER', maintainer: exactlyOne(reading, 'MAINTAINER') }),
  ONBUILD: onbuild,
  RUN: run,
  SHELL: (reading) => {
    noFlags(reading);
    const words = jsonWords(reading.split.rest);
    if (words?.length === 0 || reading.split.rest.text === '') throw requiresOne('SHELL');
    if (words === undefined) throw new Fault('SHELL requires the arguments to be in JSON form');
    return { ...reading.node, keyword: 'SHELL', shell: texts(words) };
  },
  STOPSIGNAL: (reading) => ({ ...reading.node, keyword: 'STOPSIGNAL', signal: exactlyOne(reading, 'STOPSIGNAL') }),
  USER: (reading) => ({ ...reading.node, keyword: 'USER', user: exactlyOne(reading, 'USER') }),
  VOLUME: volume,
  WORKDIR: (reading) => ({ ...reading.node, keyword: 'WORKDIR', path: exactlyOne(reading, 'WORKDIR') }),
};

const isKeyword = (word: string): word is Keyword => Object.hasOwn(readers, word);

/** Throws a Fault. */
export function parseInstruction(line: LogicalLine, escape: '\\' | '`'): Instruction {
  const split = splitInstruction(line.text);
  const node = { written: split.keyword, range: line.range, text: line.text.trim(), comments: line.comments };
  return reader(split)({ line, split, escape, node });
}

function reader({ keyword }: SplitLine, offset = 0): Reader {
  const upper = keyword.toUpperCase();
  if (isKeyword(upper)) return readers[upper];
  throw new Fault(`unknown instruction: ${keyword}`, {
    offset,
    suggestion: suggest(keyword, Object.keys(readers), true),
  });
}

function exactlyOne(reading: Reading, keyword: string): string {
  noFlags(reading);
  if (reading.split.rest.text === '') throw new Fault(`${keyword} requires exactly one argument`);
  return reading.split.rest.text;
}

function noFlags({ split }: Reading): void {
  Flags.parse({}, split.flags);
}

/** JSON array or the rest for the shell. */
function commandLine(rest: Token): CommandLine {
  const words = jsonWords(rest);
  if (words !== undefined) return { form: 'exec', args: texts(words) };
  return { form: 'shell', args: rest.text === '' ? [] : [rest.text] };
}

function command(reading: Reading, keyword: 'CMD' | 'ENTRYPOINT'): Instruction {
  noFlags(reading);
  return { ...reading.node, keyword, command: commandLine(reading.split.rest) };
}

function pairs(reading: Reading, keyword: 'ENV' | 'LABEL'): EnvInstruction | LabelInstruction {
  noFlags(reading);
  const { line, split, escape, node } = reading;
  const found = nameValues(split.rest, keyword, escape);
  const list: readonly Pair[] = atLeastOne(keyword, found.pairs).map(({ name, value, offset }) => ({
    name,
    value,
    range: line.rangeOf(offset, offset + name.length + 1 + value.length),
  }));
  return { ...node, keyword, pairs: list, legacy: found.legacy };
}

function arg(reading: Reading): ArgInstruction {
  noFlags(reading);
  const { line, split, escape, node } = reading;
  const args = atLeastOne('ARG', quotedWords(split.rest, escape)).map(({ text, offset }) => {
    const equals = text.indexOf('=');
    if (equals === 0) throw new Fault('ARG names can not be blank', { offset });
    const range = line.rangeOf(offset, offset + text.length);
    return equals < 0
      ? { name: text, value: undefined, range }
      : { name: text.slice(0, equals), value: text.slice(equals + 1), range };
  });
  return { ...node, keyword: 'ARG', args };
}

const fromFlags: FlagTable = { platform: 'string' };

function from({ split, node }: Reading): FromInstruction {
  const flags = Flags.parse(fromFlags, split.flags);
  const words = plainWords(split.rest);
  const [base, as, name] = words;
  const named = words.length === 3 && as?.text.toLowerCase() === 'as';
  if (base === undefined || (words.length !== 1 && !named)) {
    const suggestion = words.length === 3 && as !== undefined ? suggest(as.text, ['AS'], true) : undefined;
    throw new Fault('FROM requires either one or three arguments', { suggestion });
  }
  const stage = name?.text.toLowerCase();
  if (name !== undefined && stage !== undefined && !/^[a-z][a-z0-9\-_.]*$/.test(stage)) {
    const quoted = JSON.stringify(name.text);
    const why = "name can't start with a number or contain symbols";
    throw new Fault(`invalid name for build stage: ${quoted}, ${why}`, { offset: name.offset });
  }
  return {
    ...node,
    keyword: 'FROM',
    base: base.text,
    stage,
    stageWritten: name?.text,
    asWritten: as?.text,
    platform: flags.string('platform'),
  };
}

function volume(reading: Reading): Instruction {
  noFlags(reading);
  const { rest } = reading.split;
  const paths = texts(atLeastOne('VOLUME', jsonWords(rest) ?? plainWords(rest))).map((path) => path.trim());
  if (paths.includes('')) throw new Fault('VOLUME specified can not be an empty string');
  return { ...reading.node, keyword: 'VOLUME', paths };
}

const runFlags: FlagTable = { mount: 'strings', network: 'string', security: 'string', device: 'strings' };

function run({ line, split, node }: Reading): RunInstruction {
  const flags = Flags.parse(runFlags, split.flags);
  const network = flags.string('network') ?? 'default';
  if (network !== 'default' && network !== 'none' && network !== 'host') {
    const at = { offset: flags.offsetOf('network') ?? 0, suggestion: suggest(network, ['default', 'none', 'host']) };
    throw new Fault(`invalid network mode ${JSON.stringify(network)}`, at);
  }
  const security = flags.string('security') ?? 'sandbox';
  if (security !== 'sandbox' && security !== 'insecure') {
    const at = { offset: flags.offsetOf('security') ?? 0, suggestion: suggest(security, ['sandbox', 'insecure']) };
    throw new Fault(`security ${JSON.stringify(security)} is not valid`, at);
  }
  const mounts = flags.strings('mount').map(({ text, offset }) => {
    checked(offset, () => (text.includes('$') ? checkUnexpandedMount(text) : parseMount(text)));
    return { value: text, range: line.rangeOf(offset, offset + '--mount='.length + text.length) };
  });
  const parsed = commandLine(split.rest);
  atLeastOne('RUN', parsed.args);
  return {
    ...node,
    keyword: 'RUN',
    command: parsed,
    heredocs: line.heredocs,
    mounts,
    network,
    security,
    devices: texts(flags.strings('device')),
  };
}

/** Gives a Fault the offset that only the caller knows. */
function checked(offset: number, check: () => unknown): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Fault(error.message, { offset, suggestion: error.suggestion });
  }
}

function onbuild(reading: Reading): OnbuildInstruction {
  noFlags(reading);
  const { line, split, escape, node } = reading;
  const { rest } = split;
  if (rest.text === '') throw requiresOne('ONBUILD');
  const inner = splitInstruction(rest.text, rest.offset);
  const keyword = inner.keyword.toUpperCase();
  if (keyword === 'ONBUILD') throw new Fault("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (keyword === 'FROM' || keyword === 'MAINTAINER') {
    throw new Fault(`${keyword} isn't allowed as an ONBUILD trigger`, { offset: rest.offset });
  }
  const innerNode = { ...node, written: inner.keyword, text: rest.text, comments: [] };
  const instruction = reader(inner, rest.offset)({ line, split: inner, escape, node: innerNode });
  if (instruction.keyword === 'FROM') throw new Fault("FROM isn't allowed as an ONBUILD trigger");
  const contents = line.heredocs.map(({ content, name }) => `\n${content}${name}`).join('');
  return { ...node, keyword: 'ONBUILD', trigger: rest.text + contents, instruction };
}
