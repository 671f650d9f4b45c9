/** `inspect` of an image. */
import type { ContainerConfig } from '#api/types/container.ts';
import type { ImageInspect } from '#api/types/image.ts';
import type { Descriptor, Platform } from '#content/descriptor.ts';
import type { ImageRunConfig } from './config.ts';
import type { Image } from './image.ts';
import type { ImageStore } from './image-store.ts';
import {
  type ContainersOf,
  manifestSummaries,
  storedDescriptor,
  targetDescriptor,
  wireDescriptor,
} from './manifest-summary.ts';

const NEVER = '0001-01-01T00:00:00Z';

export interface InspectOptions {
  readonly platform?: Platform | undefined;
  /** With what is behind the name; answers the containers of an image. */
  readonly manifests?: ContainersOf | undefined;
}

/** Errors: not-found. */
export function inspectImage(store: ImageStore, nameOrId: string, options: InspectOptions = {}): ImageInspect {
  const image = store.resolve(nameOrId, options.platform);
  const target = options.platform === undefined ? targetDescriptor(store, nameOrId, image) : ownManifest(store, image);
  const { config } = image;
  const run = wireConfig(config.config ?? {});
  const lastComment = config.history.at(-1)?.comment ?? '';
  const inspect: ImageInspect = {
    Id: image.id,
    RepoTags: [...image.tags],
    RepoDigests: [...image.digests],
    Parent: image.parent ?? '',
    Comment: config.comment ?? lastComment,
    ...(config.created === undefined ? {} : { Created: config.created }),
    ContainerConfig: run,
    DockerVersion: config.docker_version ?? '',
    Author: config.author ?? '',
    Config: run,
    Architecture: config.architecture,
    Os: config.os,
    Size: image.size,
    GraphDriver: {
      Data: image.chainId === undefined ? null : store.layers.metadata(image.chainId),
      Name: store.layers.driverName,
    },
    RootFS: { Type: 'layers', Layers: [...config.rootfs.diff_ids] },
    Metadata: { LastTagTime: image.lastTagged?.toISOString() ?? NEVER },
  };
  if (config.container !== undefined) inspect.Container = config.container;
  if (config.variant !== undefined) inspect.Variant = config.variant;
  if (config['os.version'] !== undefined) inspect.OsVersion = config['os.version'];
  if (target !== undefined) inspect.Descriptor = wireDescriptor(target);
  if (options.manifests !== undefined) inspect.Manifests = manifestSummaries(store, image, options.manifests);
  return inspect;
}

/** Of a platform that was asked for: its own manifest, not the index. */
function ownManifest(store: ImageStore, image: Image): Descriptor | undefined {
  const digest = image.manifests.at(-1);
  return digest === undefined ? undefined : storedDescriptor(store, digest);
}

/** An image's `config` with every field that a Config on the wire has. */
export function wireConfig(config: ImageRunConfig): ContainerConfig {
  const list = (value: readonly string[] | null | undefined): string[] | null =>
    value === null || value === undefined ? null : [...value];
  const wire: ContainerConfig = {
    Hostname: config.Hostname ?? '',
    Domainname: config.Domainname ?? '',
    User: config.User ?? '',
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    Env: list(config.Env),
    Cmd: list(config.Cmd),
    Image: '',
    Volumes: config.Volumes === null || config.Volumes === undefined ? null : { ...config.Volumes },
    WorkingDir: config.WorkingDir ?? '',
    Entrypoint: list(config.Entrypoint),
    OnBuild: list(config.OnBuild),
    Labels: config.Labels === null || config.Labels === undefined ? null : { ...config.Labels },
  };
  if (config.ExposedPorts !== null && config.ExposedPorts !== undefined) wire.ExposedPorts = { ...config.ExposedPorts };
  if (config.Healthcheck !== null && config.Healthcheck !== undefined) wire.Healthcheck = config.Healthcheck;
  if (config.ArgsEscaped !== undefined) wire.ArgsEscaped = config.ArgsEscaped;
  if (config.StopSignal !== undefined) wire.StopSignal = config.StopSignal;
  if (config.Shell !== null && config.Shell !== undefined) wire.Shell = [...config.Shell];
  return wire;
}
