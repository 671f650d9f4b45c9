/** Live names for completion, from the daemon and the context store. */
import type { ApiClient } from '#api/client/api-client.ts';
import { listContainers } from '#api/client/containers.ts';
import { listImages } from '#api/client/images.ts';
import { listNetworks } from '#api/client/networks.ts';
import { listSecrets } from '#api/client/secrets.ts';
import { listVolumes } from '#api/client/volumes.ts';
import { configDirectory } from '../config-file/config-file.ts';
import { DEFAULT_CONTEXT } from '../context/default-context.ts';
import { ContextStore } from '../context/store.ts';
import type { Candidate, LookUp } from './complete.ts';
import type { Kind } from './kinds.ts';

/** A shell waits for us: a daemon that does not answer at once has no names. */
const LIMIT_MS = 1000;

export function liveNames(
  client: () => ApiClient,
  environment: Readonly<Record<string, string | undefined>>,
  configFlag: string,
): LookUp {
  return async (kind, prefix) => {
    if (kind === 'contexts') {
      const store = new ContextStore(configDirectory(environment, configFlag));
      const all = [{ value: DEFAULT_CONTEXT, description: '' }];
      for (const { name, description } of store.list()) all.push({ value: name, description });
      return begun(all, prefix);
    }
    const late = new Promise<readonly Candidate[]>((resolve) => {
      setTimeout(() => resolve([]), LIMIT_MS).unref();
    });
    try {
      return begun(await Promise.race([ask(client(), kind), late]), prefix);
    } catch {
      // No daemon, no names: an error message would stand in the middle of the command line.
      return [];
    }
  };
}

function begun(all: readonly Candidate[], prefix: string): Candidate[] {
  return all.filter(({ value }) => value.startsWith(prefix)).sort((a, b) => (a.value < b.value ? -1 : 1));
}

async function ask(client: ApiClient, kind: Kind): Promise<readonly Candidate[]> {
  switch (kind) {
    case 'containers':
      return containers(client);
    case 'running':
      return containers(client, ['running', 'paused', 'restarting']);
    case 'stopped':
      return containers(client, ['created', 'exited', 'dead']);
    case 'paused':
      return containers(client, ['paused']);
    case 'container-path':
      return (await containers(client)).map(({ value, description }) => ({ value: `${value}:`, description }));
    case 'namespaces': {
      const all = await containers(client);
      const joined = all.map(({ value, description }) => ({ value: `container:${value}`, description }));
      return [{ value: 'host', description: '' }, { value: 'private', description: '' }, ...joined];
    }
    case 'images':
      return images(client);
    case 'networks':
      return networks(client);
    case 'network-modes': {
      const joined = (await containers(client, ['running'])).map(({ value }) => ({
        value: `container:${value}`,
        description: '',
      }));
      return [...(await networks(client)), ...joined];
    }
    case 'volumes':
      return volumes(client);
    case 'volume-or-path':
      return (await volumes(client)).map(({ value, description }) => ({ value: `${value}:`, description }));
    case 'secrets':
      return (await listSecrets(client, new Map())).map(({ Spec }) => ({ value: Spec.Name, description: '' }));
    case 'everything':
      return [
        ...(await containers(client)),
        ...(await images(client)),
        ...(await networks(client)),
        ...(await volumes(client)),
      ];
    case 'none':
    case 'files':
    case 'contexts':
    case 'jobs':
      return [];
    default:
      return kind satisfies never;
  }
}

async function containers(client: ApiClient, states: readonly string[] = []): Promise<Candidate[]> {
  const filters = new Map(states.length === 0 ? [] : [['status', [...states]]]);
  const all = await listContainers(client, { all: true, limit: -1, size: false, filters });
  return all.flatMap(({ Names, Image, Status }) =>
    (Names ?? [])
      .filter((name) => !name.slice(1).includes('/'))
      .map((name) => ({ value: name.slice(1), description: `${Image}, ${Status}` })),
  );
}

async function images(client: ApiClient): Promise<Candidate[]> {
  const all = await listImages(client, { all: false, filters: new Map() });
  return all.flatMap(({ RepoTags }) => (RepoTags ?? []).map((value) => ({ value, description: 'image' })));
}

async function networks(client: ApiClient): Promise<Candidate[]> {
  return (await listNetworks(client, new Map())).map(({ Name, Driver }) => ({ value: Name, description: Driver }));
}

async function volumes(client: ApiClient): Promise<Candidate[]> {
  const { Volumes } = await listVolumes(client, new Map());
  return (Volumes ?? []).map(({ Name, Driver }) => ({ value: Name, description: Driver }));
}
