/** What a client asks of the frontend besides a build: `--call` check, outline and targets, answered as BuildKit does. */
import type { SessionBuildInput } from '#api/jobs/buildkit.ts';
import { formatOutline, formatTargets, outlineOf, targetsOf } from '#builder/dockerfile/outline.ts';
import { platformArgs } from '#builder/dockerfile/scope.ts';
import { notImplemented } from '#errdefs/errors.ts';
import type { Services } from '../services.ts';
import { type Checked, checkResult } from './check.ts';

type Answers = ReadonlyMap<string, Uint8Array>;

/** The ones that there are; they are described to who asks. */
const REQUESTS = {
  'frontend.lint': 'Lint a Dockerfile',
  'frontend.outline': 'List all parameters current build target supports',
  'frontend.targets': 'List all targets current build supports',
  'frontend.subrequests.describe': 'List available subrequest types',
} as const;

type RequestName = keyof typeof REQUESTS;

const isRequest = (name: string): name is RequestName => name in REQUESTS;

/** Errors: not-implemented naming the request. */
export function requestNamed(name: string): RequestName {
  if (!isRequest(name)) throw notImplemented(`the frontend's ${JSON.stringify(name)} is not there`);
  return name;
}

export function answerRequest(
  services: Services,
  name: RequestName,
  { args, target }: Pick<SessionBuildInput, 'args' | 'target'>,
  checked: Checked,
): Answers {
  const { file } = checked;
  const { platform } = services.builder.parts.backend;
  const given = Object.entries(args).flatMap(([key, value]) => (value === null ? [] : [[key, value] as const]));
  const request = { target, buildArgs: new Map(given), predefined: platformArgs(platform, platform) };
  if (name === 'frontend.lint') return checkResult(checked);
  if (name === 'frontend.subrequests.describe') return describe();
  if (name === 'frontend.outline') {
    const outline = outlineOf(file, request);
    return answer({ ...outline, sources: outline.sources.map(({ data }) => data) }, formatOutline(outline));
  }
  const targets = targetsOf(file, request);
  return answer({ ...targets, sources: targets.sources.map(({ data }) => data) }, formatTargets(targets));
}

function answer(json: unknown, text: string): Answers {
  return new Map([
    ['result.json', Buffer.from(JSON.stringify(json, undefined, 2))],
    ['result.txt', Buffer.from(text)],
    ['version', Buffer.from('1.0.0')],
  ]);
}

function describe(): Answers {
  const metadata = ['result.json', 'result.txt'].map((name) => ({ name, description: '' }));
  const all = Object.entries(REQUESTS).map(([name, description]) => ({
    ...{ name, version: '1.0.0', type: 'rpc', description },
    ...{ opts: null, inputs: null, metadata, refs: null },
  }));
  const rows = [
    ['NAME', 'VERSION', 'DESCRIPTION'],
    ...all.map(({ name, version, description }) => [name.replace(/^frontend\./, ''), version, description]),
  ];
  const width = Math.max(...rows.map(([name = '']) => name.length));
  const text = rows.map(
    ([name = '', version = '', words = '']) => `${name.padEnd(width)} ${version.padEnd(7)} ${words}\n`,
  );
  return answer(all, text.join(''));
}
