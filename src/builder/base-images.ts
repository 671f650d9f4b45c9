/** Images that a build stands on or copies from: each found once, and kept until the build is over. */
import { unavailable } from '#errdefs/errors.ts';
import type { DescribedImage } from './backend.ts';
import type { BuildSession } from './session.ts';

/** A base image, or one that files were copied from. */
export interface UsedImage {
  readonly reference: string;
  /** As asked for; the host's otherwise. */
  readonly platform: string;
  readonly image: DescribedImage;
}

export class BaseImages {
  readonly #session: BuildSession;
  readonly #images = new Map<string, Promise<DescribedImage>>();

  constructor(session: BuildSession) {
    this.#session = session;
  }

  /** `platform`: '' for the host's. Errors: those of pulling. */
  find(reference: string, platform: string, tell: (text: string) => void): Promise<DescribedImage> {
    const key = `${platform} ${reference}`;
    let found = this.#images.get(key);
    if (found === undefined) {
      found = this.#find(reference, platform, tell);
      found.catch(() => undefined);
      this.#images.set(key, found);
    }
    return found;
  }

  /** In the order of their names. Preconditions: the build is over. */
  async used(host: string): Promise<UsedImage[]> {
    const used: UsedImage[] = [];
    for (const [key, image] of this.#images) {
      const space = key.indexOf(' ');
      const platform = key.slice(0, space);
      used.push({ reference: key.slice(space + 1), platform: platform === '' ? host : platform, image: await image });
    }
    return used.sort((a, b) => (a.reference < b.reference ? -1 : 1));
  }

  /** With caches elsewhere its layers are perhaps never needed: they are promised then. */
  async #find(reference: string, platform: string, tell: (text: string) => void): Promise<DescribedImage> {
    const { request, backend, held, layers, signal, imported, chains } = this.#session;
    const { pull, logins } = request;
    const query = { reference, platform, pull, logins, tell, signal };
    const described = imported.isEmpty ? undefined : await backend.describe(query);
    const image = described ?? (await backend.image(query));
    const { chainId, id } = image;
    if (chainId === undefined) return image;
    held.use(layers.lease()).add(chainId);
    if (described !== undefined) {
      chains.promise(chainId, async () => {
        const pulled = await backend.image(query);
        if (pulled.id !== id) throw unavailable(`${reference} has changed while the build used it: build again`);
      });
    }
    return image;
  }
}
