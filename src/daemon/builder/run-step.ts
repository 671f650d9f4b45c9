/**
 * A RUN as a container of the engine, with everything that a container has: isolation, network, limits, names. Its layer
 * stands on the snapshot below and becomes the next one; nothing is copied. What a crash leaves is a container that says
 * it is of a build: the next start of the daemon removes it.
 */
import type { Connection } from '#api/jobs/streams.ts';
import type { StepOutcomeOf, StepRequest } from '#builder/backend.ts';
import { messageOf, systemError } from '#errdefs/errors.ts';
import type { Standing } from '#layer/snapshots.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { log } from '#pkg/log/log.ts';
import { Demultiplexer } from '#pkg/stdcopy/stdcopy.ts';
import { close, dup } from '#sys/files.ts';
import { createFrom } from '../container/create.ts';
import { removeContainer } from '../container/remove.ts';
import { startContainer } from '../container/start.ts';
import type { Services } from '../services.ts';
import { stepConfig, stepHostConfig } from './host-config.ts';
import { openStepMounts } from './step-mounts.ts';
import { missingPaths, removeStubs } from './stubs.ts';

const SIGKILL = 9;

export async function runStep(services: Services, request: StepRequest): Promise<StepOutcomeOf> {
  const { on, signal } = request;
  const { Id: id } = await createFrom(
    services,
    {
      name: '',
      request: {
        ...stepConfig(request),
        HostConfig: stepHostConfig(request),
        NetworkingConfig: { EndpointsConfig: {} },
      },
    },
    { id: request.imageId, chainId: on.base, config: {}, build: { snapshot: on.snapshot } },
    signal,
  );
  try {
    return await runIn(services, id, request);
  } finally {
    services.stepMounts.delete(id);
    await removeContainer(services, { container: id, force: true, volumes: true, link: false });
    request.gone(id);
  }
}

async function runIn(services: Services, id: string, request: StepRequest): Promise<StepOutcomeOf> {
  const { signal, on } = request;
  await using stack = new AsyncDisposableStack();
  const below = rootBelow(services, on, stack);
  const stubs =
    below === undefined ? request.mounts.map(({ target }) => target) : missingPaths(below, targetsOf(request));
  const mounts = await openStepMounts(services, request.mounts, stack);
  services.stepMounts.set(id, { mounts, env: request.secretEnv, [Symbol.dispose]: () => undefined });
  const record = services.containers.resolve(id);
  const console = services.consoles.of(record);
  const gone = new AbortController();
  const attaching = console.output.attach({ connection: into(request, gone.signal), stdout: true, stderr: true });
  console.expect(attaching);
  request.started(id);
  const exited = services.waiters.wait(id, 'next-exit');
  // Told by the failure of the start, too.
  exited.catch(ignored);
  await startContainer(services, id, signal);
  const live = services.live.get(id);
  const kill = (): void => void services.live.get(id)?.process.signal(SIGKILL).catch(ignored);
  signal.addEventListener('abort', kill, { once: true });
  if (signal.aborted) kill();
  try {
    const { exitCode } = await exited;
    await live?.ended;
    await (await attaching).done;
    signal.throwIfAborted();
    const { oomKilled } = services.containers.resolve(id).state;
    if (exitCode !== 0) return { exitCode, oomKilled, snapshot: undefined };
    const layer = services.layers.readWrite(id);
    if (layer === undefined) throw systemError(`step ${id} has no layer`);
    removeStubs(layer.directory(), stubs, below, services.layers.driverName === 'vfs');
    services.layers.sealReadWrite(id);
    failpoint('build.step-sealed');
    return { exitCode, oomKilled, snapshot: id };
  } finally {
    signal.removeEventListener('abort', kill);
  }
}

const targetsOf = ({ mounts }: StepRequest): string[] => mounts.map(({ target }) => target);

function ignored(error: unknown): void {
  log.debug('the step had ended', { err: messageOf(error) });
}

/** What the step stands on, to tell what its start has made. */
function rootBelow(services: Services, on: Standing, stack: AsyncDisposableStack): number | undefined {
  if (on.snapshot !== undefined) return stack.adopt(mounted(services.layers.mountSnapshot(on.snapshot)), close);
  return on.base === undefined ? undefined : stack.adopt(mounted(services.layers.mount(on.base)), close);
}

function mounted(mount: { readonly fd: number } & Disposable): number {
  using held = mount;
  return dup(held.fd, 3);
}

/** The step's output as it comes; frames are taken apart here, on the way to whoever builds. */
function into(request: StepRequest, closed: AbortSignal): Connection {
  const frames = new Demultiplexer((stream, bytes) => request.output(stream === 2 ? 2 : 1, bytes));
  return {
    input: nothing,
    accept: () => undefined,
    write: async (bytes) => frames.push(bytes),
    descriptor: async () => -1,
    end: () => undefined,
    closed,
  };
}

/** Nobody types. */
const nothing: AsyncIterable<Uint8Array> = {
  [Symbol.asyncIterator]: () => ({ next: async () => ({ done: true, value: undefined }) }),
};
