/**
 * A container as one document of graphdb. Identity and configuration never change after create (but the name); `state`
 * and what belongs to it change only inside the container's queue. The document holds no live facts that the kernel is
 * asked for at start-up; pid and start ticks are there to recognise a process, not to trust it.
 */
import type { ContainerConfig, RestartBackoff } from '#api/types/container.ts';
import type { HostConfig } from '#api/types/host-config.ts';
import { dataLoss } from '#errdefs/errors.ts';
import type { Resources } from '#libcontainer/spec.ts';
import { type MountSpec, plainMount } from './mount-spec.ts';
import { type NetworkWish, noWish } from './network-wish.ts';
import type { ContainerState } from './state.ts';
import type { UserNamespace } from './user-namespace.ts';

export const CONTAINER_KIND = 'container';
/** Parent of the edges name → container id. */
export const NAMES_PARENT = 'container-names';

/** A mount whose volume has its name and driver and whose source is a host path ('' while that is not known). */
export interface ContainerMount extends MountSpec {
  /** Name of the volume; '' for what is none. */
  readonly volume: string;
  /** Id of the image of an image mount; '' for what is none. */
  readonly imageId: string;
}

interface StoredAddress {
  readonly ip: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly mac: string;
}

/** An endpoint of a network driver as it is kept over a restart of the daemon. */
export interface StoredEndpoint {
  readonly id: string;
  readonly networkId: string;
  /** Name of the network. */
  readonly network: string;
  readonly containerId: string;
  readonly address: StoredAddress | undefined;
  readonly address6?: StoredAddress;
  readonly nameservers: readonly string[];
  /** Name of its link inside. */
  readonly interface?: string;
  readonly ports?: readonly {
    readonly protocol: 'tcp' | 'udp' | 'sctp';
    readonly hostIp: string;
    readonly hostPort: number;
    readonly port: number;
    readonly judged?: boolean;
  }[];
  readonly unguarded?: boolean;
  /** A default route of the container leads through it. */
  readonly leads?: boolean;
  /** Of which families; absent in a document of older builds: of both. */
  readonly leading?: { readonly four: boolean; readonly six: boolean };
  readonly linkLocal?: readonly string[];
  readonly defaultLink?: boolean;
}

export interface ContainerRecord {
  readonly id: string;
  /** Without the slash. */
  readonly name: string;
  /** RFC 3339 with nanoseconds. */
  readonly createdAt: string;
  /** 'sha256:…' of the image config. */
  readonly imageId: string;
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  readonly path: string;
  readonly args: readonly string[];
  readonly mounts: readonly ContainerMount[];
  /** Graph driver. */
  readonly driver: string;
  /** False until everything that create makes is there: such a container is swept at start-up. */
  readonly complete: boolean;
  readonly state: ContainerState;
  /** What the user asked for last: restore and restart policies act on it. */
  readonly desired: 'running' | 'stopped';
  /** The last stop was the user's. */
  readonly manuallyStopped: boolean;
  /** Restarts by the policy since the last start by the user; one that is being waited for counts. */
  readonly restartCount: number;
  /** The wait before that restart, from which the next one is counted. */
  readonly backoffMs?: number;
  /** By the name of the network. */
  readonly networks: Readonly<Record<string, NetworkWish>>;
  /** While it runs: in the order of its links. */
  readonly endpoints: readonly StoredEndpoint[];
  /** How many updates it has had; absent: none. */
  readonly revision?: number;
  readonly restartBackoff?: RestartBackoff;
  /** An update whose limits may not be in force yet: restore completes it, or goes back when the kernel refuses it. */
  readonly pendingUpdate?: PendingUpdate | undefined;
  /** Absent: the host's. */
  readonly userns?: UserNamespace | undefined;
  /** A step of a build: no daemon goes on with what an earlier one has begun. */
  readonly ofBuild?: boolean;
}

/** Of builds that knew one network: its endpoint. */
type StoredRecord = ContainerRecord & { readonly endpoint?: Omit<StoredEndpoint, 'network'> };

function upgraded(record: StoredRecord): ContainerRecord {
  // as: documents of older builds lack what is asked for here.
  const known = record as Partial<ContainerRecord>;
  if (known.networks !== undefined && known.endpoints !== undefined) return record;
  const { endpoint, ...rest } = record;
  const mode = record.hostConfig.NetworkMode;
  const network = mode === 'default' || mode === '' ? 'bridge' : mode;
  const alone = mode.startsWith('container:');
  return {
    ...rest,
    networks: alone ? {} : { [network]: { ...noWish, networkId: endpoint?.networkId ?? '' } },
    endpoints: endpoint === undefined ? [] : [{ ...endpoint, network, interface: 'eth0', leads: true }],
  };
}

export interface PendingUpdate {
  readonly limits: Resources;
  readonly before: Pick<ContainerRecord, 'config' | 'hostConfig' | 'revision' | 'restartBackoff'>;
}

/** Errors: data-loss when the document is not a container. */
export function decodeRecord(id: string, document: unknown): ContainerRecord {
  if (typeof document === 'object' && document !== null && Reflect.get(document, 'id') === id) {
    const state: unknown = Reflect.get(document, 'state');
    const name: unknown = Reflect.get(document, 'name');
    // as: only `put` of this part writes documents of this kind; the database itself guards against damage.
    if (typeof state === 'object' && typeof name === 'string') return withAllFields(upgraded(document as StoredRecord));
  }
  throw dataLoss(`Cannot read container "${id}": the document is not a container`);
}

/** Mounts of records of an earlier build lack what came later. */
function withAllFields(record: ContainerRecord): ContainerRecord {
  const [first] = record.mounts;
  if (first === undefined || 'chown' in first) return record;
  return { ...record, mounts: record.mounts.map((mount) => Object.assign({ imageId: '' }, plainMount, mount)) };
}
