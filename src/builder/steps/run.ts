/**
 * RUN: a command in a container of the engine. Its meaning is everything that the command can see by intent: arguments,
 * environment, user, directory, network, contents of mounts. Secrets, ssh and caches are seen but never part of it.
 */
import { BerthError, forbidden, invalidParameter, notFound } from '#errdefs/errors.ts';
import type { Standing } from '#layer/snapshots.ts';
import { close, open } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import type { StepMount, StepRequest } from '../backend.ts';
import { resolvePath, shellCommand } from '../config.ts';
import { scriptOf } from '../dockerfile/expand.ts';
import type { RunInstruction } from '../dockerfile/instructions.ts';
import type { RunMount } from '../dockerfile/mount.ts';
import type { BuildSession } from '../session.ts';
import type { StageState } from '../state.ts';
import type { StepSource } from './source.ts';

export interface RunPlan {
  readonly args: readonly string[];
  /** What the command is for the history: with the arguments that it sees. */
  readonly shown: readonly string[];
  readonly env: readonly string[];
  readonly mounts: readonly PlannedMount[];
  readonly network: string;
  readonly privileged: boolean;
}

export interface PlannedMount {
  readonly mount: RunMount;
  readonly target: string;
  /** Of a bind, or what a cache starts with. */
  readonly source: StepSource | undefined;
  /** Of the files that it shows; '' for what is no part of the meaning. */
  readonly digest: () => Promise<string>;
}

type From = { readonly on: Standing } | { readonly root: number };

/** Where the files are, brought when they are elsewhere. */
async function fromOf(source: StepSource): Promise<From> {
  const root = await source.root();
  const on = await source.on();
  return on === undefined ? { root } : { on };
}

/** The command as it will be executed. */
export function commandOf(
  instruction: RunInstruction,
  state: StageState,
): { args: string[]; file: Uint8Array | undefined } {
  const { config } = state.config;
  const script = scriptOf(instruction);
  if (script === undefined) return { args: shellCommand(instruction.command, config), file: undefined };
  if (script.kind === 'file') return { args: [`/dev/pipes/${script.name}`], file: Buffer.from(script.content) };
  return { args: shellCommand({ form: 'shell', args: [script.text] }, config), file: undefined };
}

/** ENV, the arguments in scope, and the client's proxies, which are in no history and no key. */
export function environmentOf(state: StageState): { readonly meant: string[]; readonly proxies: string[] } {
  const entries = (map: ReadonlyMap<string, string>): string[] => [...map].map(([name, value]) => `${name}=${value}`);
  return { meant: entries(state.scope.environment), proxies: entries(state.scope.proxies) };
}

/** `|2 A=1 B=2 /bin/sh -c make`: as Docker writes it. */
export function historyOf(args: readonly string[], state: StageState): string {
  const declared = [...state.scope.args].map(([name, value]) => `${name}=${value}`);
  const given = declared.length === 0 ? '' : `|${declared.length} ${declared.join(' ')} `;
  return `RUN ${given}${args.join(' ')}`;
}

export function networkOf(session: BuildSession, instruction: RunInstruction): string {
  const { request } = session;
  if (instruction.network === 'default') return request.networkMode;
  if (instruction.network === 'host' && request.networkMode !== 'host' && !request.allow.has('network.host')) {
    throw forbidden('granting entitlement network.host is not allowed: build with --allow network.host');
  }
  return instruction.network;
}

export function privilegeOf(session: BuildSession, instruction: RunInstruction): boolean {
  if (instruction.security === 'sandbox') return false;
  if (!session.request.allow.has('security.insecure')) {
    throw forbidden('granting entitlement security.insecure is not allowed: build with --allow security.insecure');
  }
  return true;
}

export function targetOf(mount: RunMount, workdir: string | undefined, index: number): string {
  if (mount.target !== undefined) return resolvePath(workdir, mount.target);
  if (mount.type === 'secret') return mount.env === undefined ? `/run/secrets/${secretId(mount)}` : '';
  if (mount.type === 'ssh') return `/run/buildkit/ssh_agent.${index}`;
  throw invalidParameter(`a mount of type ${mount.type} needs a target`);
}

export function secretId(mount: RunMount): string {
  const named = mount.id ?? mount.source ?? mount.target ?? '';
  return mount.id ?? named.slice(named.lastIndexOf('/') + 1);
}

/** What is prepared for one run; gone with its end. */
export interface OpenedMounts {
  readonly mounts: readonly StepMount[];
  readonly secretEnv: readonly string[];
}

/** Opens what the command sees. `stack` is disposed when it has ended. */
export async function openMounts(
  session: BuildSession,
  plan: RunPlan,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<OpenedMounts> {
  const mounts: StepMount[] = [];
  const secretEnv: string[] = [];
  let agents = 0;
  // Caches in one order everywhere: two steps that lock two of them never wait for each other.
  const ordered = [...plan.mounts].sort((a, b) => ((a.mount.id ?? a.target) < (b.mount.id ?? b.target) ? -1 : 1));
  for (const planned of ordered) {
    const { mount, target } = planned;
    const from = planned.source === undefined ? undefined : await fromOf(planned.source);
    switch (mount.type) {
      case 'tmpfs':
        mounts.push({ kind: 'tmpfs', target, sizeBytes: mount.sizeBytes });
        break;
      case 'bind':
        if (from === undefined) break;
        if ('on' in from) {
          mounts.push({
            kind: 'snapshot',
            target,
            on: from.on,
            source: mount.source ?? '/',
            writable: !mount.readOnly,
          });
        } else {
          mounts.push({ kind: 'directory', target, root: from.root, source: mount.source ?? '/', readOnly: true });
        }
        break;
      case 'cache':
        mounts.push(await openCache(session, { mount, target, from }, stack, signal));
        break;
      case 'secret': {
        const value = await session.request.secrets?.secret(secretId(mount), signal);
        if (value === undefined) {
          if (mount.required) throw notFound(`secret ${secretId(mount)}: not found`);
          break;
        }
        if (mount.env !== undefined) secretEnv.push(`${mount.env}=${Buffer.from(value).toString()}`);
        if (target === '') break;
        const { uid = 0, gid = 0, mode = 0o400 } = mount;
        mounts.push({ kind: 'secret', target, value, uid, gid, mode });
        break;
      }
      case 'ssh': {
        const socket = await session.request.ssh?.socket(mount.id ?? 'default', signal);
        if (socket === undefined) {
          if (mount.required) throw notFound(`ssh agent ${mount.id ?? 'default'}: not found`);
          break;
        }
        stack.use(socket);
        const { uid = 0, gid = 0, mode = 0o600 } = mount;
        mounts.push({ kind: 'socket', target, path: socket.path, uid, gid, mode });
        if (agents++ === 0) secretEnv.push(`SSH_AUTH_SOCK=${target}`);
        break;
      }
      default:
        throw new BerthError('system', `a mount of type ${String(mount.type satisfies never)}`);
    }
  }
  return { mounts, secretEnv };
}

async function openCache(
  session: BuildSession,
  { mount, target, from }: Pick<PlannedMount, 'mount' | 'target'> & { readonly from: From | undefined },
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<StepMount> {
  const { uid = 0, gid = 0, mode = 0o755 } = mount;
  const opened = stack.use(
    await session.cacheMounts.open(mount.id ?? target, { sharing: mount.sharing ?? 'shared', mode, uid, gid, signal }),
  );
  const root = stack.adopt(open(opened.path, O.PATH | O.DIRECTORY), close);
  if (opened.fresh && from !== undefined) {
    const source = 'root' in from ? from.root : undefined;
    const mounted =
      'on' in from && from.on.snapshot !== undefined ? session.layers.mountSnapshot(from.on.snapshot) : undefined;
    if (mounted !== undefined) stack.use(mounted);
    const based =
      'on' in from && from.on.snapshot === undefined && from.on.base !== undefined
        ? session.layers.mount(from.on.base)
        : undefined;
    if (based !== undefined) stack.use(based);
    const fd = source ?? mounted?.fd ?? based?.fd;
    if (fd !== undefined) {
      await session.files.place(
        {
          kind: 'place',
          selection: {
            root: fd,
            sources: [mount.source ?? '/'],
            wildcards: false,
            ignore: [],
            exclude: [],
            parents: false,
          },
          target: root,
          destination: '/',
          intoDirectory: true,
          owner: 'keep',
          mode: undefined,
          timeNs: undefined,
          parentOwner: { uid: 0, gid: 0 },
        },
        signal,
      );
    }
  }
  return { kind: 'directory', target, root, source: '/', readOnly: mount.readOnly };
}

/** The request of the container, but for mounts and hooks. */
export function requestOf(
  session: BuildSession,
  state: StageState,
  plan: RunPlan,
): Omit<StepRequest, 'mounts' | 'secretEnv' | 'started' | 'gone' | 'output' | 'signal'> {
  const { request } = session;
  const { config } = state.config;
  return {
    on: state.on,
    args: plan.args,
    env: plan.env,
    user: config.User ?? '',
    workdir: config.WorkingDir ?? '/',
    hostname: '',
    network: plan.network,
    privileged: plan.privileged,
    extraHosts: request.extraHosts,
    securityOptions: request.securityOptions,
    limits: request.limits,
    imageId: state.baseImage,
  };
}
