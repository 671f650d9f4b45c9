/** Volume drivers that are plugins: Docker's VolumeDriver protocol, and the set of those that are there. */
import { BerthError, kindOf, messageOf, notFound, systemError } from '#errdefs/errors.ts';
import { PLUGIN_LIMITS, PluginClient, type PluginLimits, PluginSaid } from '#plugins/client.ts';
import { PLUGIN_DIRECTORIES, pluginNames } from '#plugins/discover.ts';
import type { DriverVolume, VolumeDriver, VolumeDrivers } from './driver.ts';
import type { DriverOptions } from './local-options.ts';

const SUBJECT = 'VolumeDriver';
/** Of listings, which must not wait long for one plugin of many. */
const LIST_LIMIT_MS = 3_000;

class PluginDriver implements VolumeDriver {
  readonly name: string;
  readonly scope: 'local' | 'global';
  readonly #client: PluginClient;

  constructor(client: PluginClient, scope: 'local' | 'global') {
    this.name = client.name;
    this.scope = scope;
    this.#client = client;
  }

  async create(volume: string, options: DriverOptions): Promise<void> {
    await this.#call('Create', { Name: volume, Opts: options });
  }

  async remove(volume: string): Promise<void> {
    await this.#call('Remove', { Name: volume });
  }

  async mount(volume: string, id: string): Promise<string> {
    const { Mountpoint: place } = await this.#call('Mount', { Name: volume, ID: id });
    // A path that is not absolute would mean something below the daemon's own directory.
    if (typeof place !== 'string' || !place.startsWith('/')) {
      throw systemError(`plugin "${this.name}" gave no absolute path for volume "${volume}"`);
    }
    return place;
  }

  async unmount(volume: string, id: string): Promise<void> {
    await this.#call('Unmount', { Name: volume, ID: id });
  }

  async get(volume: string): Promise<DriverVolume | undefined> {
    try {
      const { Volume: found } = await this.#call('Get', { Name: volume }, LIST_LIMIT_MS);
      return decodeVolume(found);
    } catch (error) {
      // The protocol has no way to say "none": a plugin that answers an error has none.
      if (error instanceof Error && error.cause instanceof PluginSaid) return undefined;
      throw error;
    }
  }

  async list(): Promise<DriverVolume[]> {
    const { Volumes: found } = await this.#call('List', {}, LIST_LIMIT_MS);
    return (Array.isArray(found) ? found : []).flatMap((one) => decodeVolume(one) ?? []);
  }

  #call(method: string, body: unknown, limitMs?: number): Promise<Record<string, unknown>> {
    return this.#client.call(`${SUBJECT}.${method}`, body, limitMs);
  }
}

function decodeVolume(value: unknown): DriverVolume | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const name: unknown = Reflect.get(value, 'Name');
  const mountpoint: unknown = Reflect.get(value, 'Mountpoint');
  const createdAt: unknown = Reflect.get(value, 'CreatedAt');
  const status: unknown = Reflect.get(value, 'Status');
  if (typeof name !== 'string' || name === '') return undefined;
  return {
    name,
    mountpoint: typeof mountpoint === 'string' ? mountpoint : '',
    ...(typeof createdAt === 'string' && createdAt !== '' ? { createdAt } : {}),
    // as: an object; its values are passed on as they are.
    ...(typeof status === 'object' && status !== null ? { status: status as Record<string, unknown> } : {}),
  };
}

export class PluginDrivers implements VolumeDrivers {
  readonly #known = new Map<string, PluginDriver>();
  readonly #directories: typeof PLUGIN_DIRECTORIES;
  readonly #limits: PluginLimits;

  constructor(directories = PLUGIN_DIRECTORIES, limits = PLUGIN_LIMITS) {
    this.#directories = directories;
    this.#limits = limits;
  }

  async get(name: string): Promise<VolumeDriver> {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    try {
      return await this.#activate(name, this.#limits);
    } catch (cause) {
      const message = `error looking up volume plugin ${name}: ${messageOf(cause)}`;
      throw new BerthError(kindOf(cause), message, { cause });
    }
  }

  async #activate(name: string, limits: PluginLimits): Promise<PluginDriver> {
    const client = new PluginClient(name, this.#directories, limits);
    const implemented = await client.activate();
    if (!implemented.includes(SUBJECT)) throw notFound(`plugin "${name}" does not implement "volumedriver"`);
    const driver = new PluginDriver(new PluginClient(name, this.#directories, this.#limits), await scopeOf(client));
    this.#known.set(name, driver);
    return driver;
  }

  async all(): Promise<{ drivers: PluginDriver[]; warnings: string[] }> {
    const names = pluginNames(this.#directories);
    // What is no longer announced may have been replaced: it is asked anew when it comes back.
    for (const name of this.#known.keys()) if (!names.includes(name)) this.#known.delete(name);
    const drivers: PluginDriver[] = [];
    const warnings: string[] = [];
    const limits = { callMs: LIST_LIMIT_MS, retryMs: 0 };
    await Promise.all(
      names.map(async (name) => {
        const known = this.#known.get(name);
        try {
          drivers.push(known ?? (await this.#activate(name, limits)));
        } catch (error) {
          // Plugins of other kinds are none of ours.
          if (kindOf(error) !== 'not-found') warnings.push(messageOf(error));
        }
      }),
    );
    return { drivers: drivers.sort((a, b) => (a.name < b.name ? -1 : 1)), warnings };
  }

  names(): string[] {
    return [...this.#known.keys()].sort();
  }
}

/** A plugin that does not know the question is of this host only. */
async function scopeOf(client: PluginClient): Promise<'local' | 'global'> {
  try {
    const { Capabilities: capabilities } = await client.call(`${SUBJECT}.Capabilities`, {});
    const scope: unknown =
      typeof capabilities === 'object' && capabilities !== null ? Reflect.get(capabilities, 'Scope') : '';
    return scope === 'global' ? 'global' : 'local';
  } catch {
    return 'local';
  }
}
