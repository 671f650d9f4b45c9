/** `--change` of import (and commit): Dockerfile instructions that change an image's configuration. */
import { Lexer } from '#builder/dockerfile/lexer.ts';
import { type BerthError, invalidParameter, messageOf } from '#errdefs/errors.ts';
import { parseDuration } from '#pkg/units/duration.ts';
import type { ImageRunConfig } from './config.ts';

/** Those in which a Dockerfile replaces variables. */
const WITH_VARIABLES = new Set(['ENV', 'EXPOSE', 'LABEL', 'STOPSIGNAL', 'USER', 'VOLUME', 'WORKDIR']);

type Mutable = { -readonly [K in keyof ImageRunConfig]: ImageRunConfig[K] };

/** Applies the instructions in order. Errors: invalid-parameter naming the line. */
export function applyChanges(config: ImageRunConfig, changes: readonly string[]): ImageRunConfig {
  const result: Mutable = { ...config };
  let hasCommand = false;
  for (const change of changes) {
    const name = applyChange(result, change);
    // As in a Dockerfile: an entrypoint makes the command of before void.
    if (name === 'ENTRYPOINT' && !hasCommand) result.Cmd = null;
    hasCommand ||= name === 'CMD';
  }
  return result;
}

/** Answers the instruction's name. */
function applyChange(config: Mutable, change: string): string {
  const match = /^\s*([A-Za-z]+)(?:\s+([\s\S]*))?$/.exec(change);
  const name = (match?.[1] ?? '').toUpperCase();
  const given = (match?.[2] ?? '').trim();
  const rest = WITH_VARIABLES.has(name) ? expand(given, config.Env ?? []) : given;
  if (match === null) throw invalidParameter(`invalid change "${change}"`);
  if (rest === '' && name !== 'CMD' && name !== 'ENTRYPOINT') throw needsArgument(name);
  switch (name) {
    case 'CMD':
      config.Cmd = command(rest, config.Shell);
      break;
    case 'ENTRYPOINT':
      config.Entrypoint = command(rest, config.Shell);
      break;
    case 'ENV':
      config.Env = [...pairs(rest, name)].reduce(withVariable, [...(config.Env ?? [])]);
      break;
    case 'EXPOSE':
      config.ExposedPorts = { ...config.ExposedPorts, ...Object.fromEntries(words(rest).flatMap(ports)) };
      break;
    case 'LABEL':
      config.Labels = { ...config.Labels, ...Object.fromEntries(pairs(rest, name)) };
      break;
    case 'ONBUILD':
      config.OnBuild = [...(config.OnBuild ?? []), onBuild(rest)];
      break;
    case 'STOPSIGNAL':
      config.StopSignal = rest;
      break;
    case 'USER':
      config.User = rest;
      break;
    case 'VOLUME':
      config.Volumes = { ...config.Volumes, ...Object.fromEntries((jsonList(rest) ?? words(rest)).map(volume)) };
      break;
    case 'WORKDIR':
      config.WorkingDir = rest.startsWith('/') ? rest : `${(config.WorkingDir ?? '').replace(/\/$/, '')}/${rest}`;
      break;
    case 'HEALTHCHECK':
      config.Healthcheck = healthcheck(rest);
      break;
    default:
      throw invalidParameter(`${name.toUpperCase()} is not a valid change command`);
  }
  return name;
}

/** Quotes and escapes are still to be read. Errors: invalid-parameter. */
function expand(text: string, env: readonly string[]): string {
  const variables = new Map(env.map((line) => [line.split('=', 1)[0] ?? '', line.slice(line.indexOf('=') + 1)]));
  if (!text.includes('$')) return text;
  try {
    return new Lexer({ rawQuotes: true, rawEscapes: true }).expand(text, variables).word;
  } catch (cause) {
    throw invalidParameter(messageOf(cause), { cause });
  }
}

function command(rest: string, shell: readonly string[] | null | undefined): string[] {
  const list = jsonList(rest);
  if (list !== undefined) return list;
  return rest === '' ? [] : [...(shell ?? ['/bin/sh', '-c']), rest];
}

/** A JSON list of strings; undefined when it is something else, which then is a plain line. */
function jsonList(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined;
  try {
    const parsed: unknown = JSON.parse(text);
    if (Array.isArray(parsed) && parsed.every((entry): entry is string => typeof entry === 'string')) return parsed;
  } catch {
    // As Docker: what is no JSON is a shell line.
  }
  return undefined;
}

/** Words as a Dockerfile splits them: quotes and backslashes group and are taken away. */
function words(text: string): string[] {
  const found: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (quote !== '') {
      if (char === quote) quote = '';
      else if (char === '\\' && quote === '"' && /["\\$]/.test(text.charAt(i + 1)))
        word = (word ?? '') + text.charAt(++i);
      else word = (word ?? '') + char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (char === '\\' && i + 1 < text.length) word = (word ?? '') + text.charAt(++i);
    else if (/\s/.test(char)) {
      if (word !== undefined) found.push(word);
      word = undefined;
    } else word = (word ?? '') + char;
  }
  if (quote !== '')
    throw invalidParameter(
      `unexpected end of statement while looking for matching ${quote === '"' ? 'double' : 'single'}-quote`,
    );
  if (word !== undefined) found.push(word);
  return found;
}

/** `a=b c="d e"`, or the old form `a the rest`. */
function pairs(rest: string, name: string): [string, string][] {
  const first = /^\S+/.exec(rest)?.[0] ?? '';
  if (!first.includes('=')) {
    const value = rest.slice(first.length).trim();
    if (value === '') throw invalidParameter(`${name} must have two arguments`);
    return [[first, value]];
  }
  return words(rest).map((word) => {
    const equals = word.indexOf('=');
    if (equals < 0)
      throw invalidParameter(`Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`);
    if (equals === 0) throw invalidParameter(`${name} names can not be blank`);
    return [word.slice(0, equals), word.slice(equals + 1)];
  });
}

function withVariable(env: string[], [key, value]: [string, string]): string[] {
  const line = `${key}=${value}`;
  const at = env.findIndex((entry) => entry.startsWith(`${key}=`));
  if (at < 0) return [...env, line];
  return env.with(at, line);
}

/** `80`, `53/udp`, `8000-8002`. */
function ports(word: string): [string, Record<string, never>][] {
  const match = /^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/i.exec(word);
  const from = Number(match?.[1]);
  const to = Number(match?.[2] ?? from);
  if (match === null || from > to || to > 65_535) throw invalidParameter(`invalid containerPort: ${word}`);
  const protocol = (match[3] ?? 'tcp').toLowerCase();
  return Array.from({ length: to - from + 1 }, (_, i) => [`${from + i}/${protocol}`, {}]);
}

function volume(path: string): [string, Record<string, never>] {
  if (path.trim() === '') throw invalidParameter('VOLUME specified can not be an empty string');
  return [path.trim(), {}];
}

function onBuild(trigger: string): string {
  const name = (/^\S+/.exec(trigger)?.[0] ?? '').toUpperCase();
  if (name === 'ONBUILD') throw invalidParameter("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (name === 'MAINTAINER' || name === 'FROM') throw invalidParameter(`${name} isn't allowed as an ONBUILD trigger`);
  return trigger;
}

const DURATIONS = {
  '--interval': 'Interval',
  '--timeout': 'Timeout',
  '--start-period': 'StartPeriod',
  '--start-interval': 'StartInterval',
} as const;

function healthcheck(text: string): ImageRunConfig['Healthcheck'] {
  const health: NonNullable<ImageRunConfig['Healthcheck']> = {};
  let rest = text;
  for (let match = /^(--[a-z-]+)=(\S+)\s*/.exec(rest); match !== null; match = /^(--[a-z-]+)=(\S+)\s*/.exec(rest)) {
    const [whole, flag = '', value = ''] = match;
    rest = rest.slice(whole.length);
    if (flag === '--retries') {
      if (!/^\d+$/.test(value)) throw invalidParameter(`invalid value for --retries: ${value}`);
      health.Retries = Number(value);
    } else if (flag in DURATIONS) {
      // as: `in` has just said that it is one of the keys.
      health[DURATIONS[flag as keyof typeof DURATIONS]] = Number(parseDuration(value));
    } else throw invalidParameter(`Unknown flag: ${flag.slice(2)}`);
  }
  const [kind = ''] = words(rest);
  const line = rest.slice(kind.length).trim();
  if (kind.toUpperCase() === 'NONE') {
    if (line !== '') throw invalidParameter('HEALTHCHECK NONE takes no arguments');
    return { Test: ['NONE'] };
  }
  if (kind.toUpperCase() !== 'CMD')
    throw invalidParameter(`Unknown type ${JSON.stringify(kind)} in HEALTHCHECK (try CMD)`);
  if (line === '') throw invalidParameter('Missing command after HEALTHCHECK CMD');
  const list = jsonList(line);
  health.Test = list === undefined ? ['CMD-SHELL', line] : ['CMD', ...list];
  return health;
}

const needsArgument = (name: string): BerthError => invalidParameter(`${name} requires at least one argument`);
