/** Routes of OCI artifacts: our own, after podman's. A name may hold slashes and colons. */
import {
  artifactCreate,
  artifactFile,
  artifactInspect,
  artifactList,
  artifactPull,
  artifactPush,
  artifactRemove,
  artifactUpload,
} from '#api/jobs/artifact.ts';
import type { ArtifactCreateRequest } from '#api/types/artifact.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { flag, list, struct, text, textMap } from '../decode/fields.ts';
import { readJsonRequired } from '../json-body.ts';
import { type Route, type RouteContext, route } from '../route.ts';
import { progressError, streamJob } from './streaming.ts';

const FILES_MAX = 1000;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

const decodeFile = struct<ArtifactCreateRequest['Files'][number]>('ArtifactFile', {
  Title: text,
  Digest: text,
  MediaType: text,
});
const decodeCreate = struct<ArtifactCreateRequest>('ArtifactCreateRequest', {
  Name: text,
  Type: text,
  Annotations: (value, place) => textMap(value, place) ?? {},
  Files: (value, place) => list(decodeFile)(value, place) ?? [],
  Replace: flag,
});

async function create(ctx: RouteContext): Promise<void> {
  const request = decodeCreate(await readJsonRequired(ctx.exchange), { struct: 'ArtifactCreateRequest', path: '' });
  if (request.Files.length > FILES_MAX) throw invalidParameter(`an artifact has at most ${FILES_MAX} files`);
  const wrong = request.Files.find(({ Digest }) => !DIGEST.test(Digest));
  if (wrong !== undefined) throw invalidParameter(`${JSON.stringify(wrong.Digest.slice(0, 100))} is no digest`);
  ctx.sendJson(201, await ctx.run(artifactCreate, request));
}

async function file(ctx: RouteContext): Promise<void> {
  const output = ctx.exchange.stream(200, 'application/octet-stream');
  const input = { artifact: ctx.param('name'), file: ctx.query.text('file'), output };
  await streamJob(output, () => ctx.run(artifactFile, input));
}

/** With docker's progress, and X-Registry-Auth as for images. */
async function transfer(ctx: RouteContext, job: typeof artifactPull, artifact: string): Promise<void> {
  const progress = ctx.exchange.stream(200, 'application/json');
  const auth = ctx.exchange.head.headers.get('x-registry-auth') ?? '';
  await streamJob(progress, () => ctx.run(job, { artifact, auth, progress }), progressError);
}

export const artifactRoutes: readonly Route[] = [
  route('GET', '/berth/artifacts', 24, 'list artifacts', async (ctx) => {
    ctx.sendJson(200, await ctx.run(artifactList, {}));
  }),
  route('POST', '/berth/artifacts/files', 24, 'upload a file for an artifact', async (ctx) => {
    ctx.sendJson(201, await ctx.run(artifactUpload, { file: ctx.exchange.body }));
  }),
  route('POST', '/berth/artifacts/create', 24, 'make an artifact of uploaded files', create),
  route('POST', '/berth/artifacts/pull', 24, 'pull an artifact', (ctx) =>
    transfer(ctx, artifactPull, ctx.query.text('name')),
  ),
  route('POST', '/berth/artifacts/{name...}/push', 24, 'push an artifact', (ctx) =>
    transfer(ctx, artifactPush, ctx.param('name')),
  ),
  route('GET', '/berth/artifacts/{name...}/json', 24, 'inspect an artifact', async (ctx) => {
    ctx.sendJson(200, await ctx.run(artifactInspect, { artifact: ctx.param('name') }));
  }),
  route('GET', '/berth/artifacts/{name...}/file', 24, 'read a file of an artifact', file),
  route('DELETE', '/berth/artifacts/{name...}', 24, 'remove an artifact', async (ctx) => {
    ctx.sendJson(200, await ctx.run(artifactRemove, { artifact: ctx.param('name') }));
  }),
];
