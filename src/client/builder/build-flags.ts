/** The flags of `build`: those of docker's classic builder and of buildx. */
import { contentTrustFlag } from '../common-flags.ts';
import { bytes, flag, type FlagValues, integer, list, text } from '../flags/flag-spec.ts';

export const buildFlags = {
  'add-host': list('Add a custom host-to-IP mapping ("host:ip")'),
  annotation: list('Add annotation to the image', { typeName: 'stringArray' }),
  allow: list('Allow extra privileged entitlement (e.g., "network.host", "security.insecure")', {
    typeName: 'stringArray',
  }),
  attest: list('Attestation parameters (format: "type=sbom,generator=image")', { typeName: 'stringArray' }),
  'build-arg': list('Set build-time variables', { typeName: 'stringArray' }),
  'build-context': list('Additional build contexts (e.g., name=path)', { typeName: 'stringArray' }),
  'cache-from': list('External cache sources (e.g., "user/app:cache", "type=local,src=path/to/dir")', {
    typeName: 'stringArray',
  }),
  'cache-to': list('Cache export destinations (e.g., "user/app:cache", "type=local,dest=path/to/dir")', {
    typeName: 'stringArray',
  }),
  'cgroup-parent': text('Set the parent cgroup for the "RUN" instructions during build'),
  check: flag('Shorthand for "--call=check"'),
  call: text('Set method for evaluating build ("check", "outline", "targets")', { initial: 'build' }),
  compress: flag('Compress the build context using gzip', { hidden: true }),
  'cpu-period': integer('Limit the CPU CFS (Completely Fair Scheduler) period'),
  'cpu-quota': integer('Limit the CPU CFS (Completely Fair Scheduler) quota'),
  'cpu-shares': integer('CPU shares (relative weight)', { shorthand: 'c' }),
  'cpuset-cpus': text('CPUs in which to allow execution (0-3, 0,1)'),
  'cpuset-mems': text('MEMs in which to allow execution (0-3, 0,1)'),
  file: text('Name of the Dockerfile (default: "PATH/Dockerfile")', { shorthand: 'f' }),
  'disable-content-trust': contentTrustFlag(),
  'force-rm': flag('Always remove intermediate containers', { hidden: true }),
  iidfile: text('Write the image ID to a file'),
  isolation: text('Container isolation technology', { hidden: true }),
  label: list('Set metadata for an image', { typeName: 'stringArray' }),
  load: flag('Shorthand for "--output=type=docker"'),
  memory: bytes('Memory limit', { shorthand: 'm' }),
  'memory-swap': bytes('Swap limit equal to memory plus swap: -1 to enable unlimited swap', { allowUnlimited: true }),
  'metadata-file': text('Write build result metadata to a file'),
  network: text('Set the networking mode for the "RUN" instructions during build', { initial: 'default' }),
  'no-cache': flag('Do not use cache when building the image'),
  'no-cache-filter': list('Do not cache specified stages', { typeName: 'stringArray' }),
  output: list('Output destination (format: "type=local,dest=path")', { shorthand: 'o', typeName: 'stringArray' }),
  platform: list('Set target platform for build', { typeName: 'stringArray' }),
  progress: text('Set type of progress output ("auto", "plain", "tty", "quiet", "rawjson")', { initial: 'auto' }),
  provenance: text('Shorthand for "--attest=type=provenance"', { hidden: true }),
  pull: flag('Always attempt to pull all referenced images'),
  push: flag('Shorthand for "--output=type=registry"'),
  quiet: flag('Suppress the build output and print image ID on success', { shorthand: 'q' }),
  rm: flag('Remove intermediate containers after a successful build', { initial: true, hidden: true }),
  sbom: text('Shorthand for "--attest=type=sbom"', { hidden: true }),
  secret: list('Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")', {
    typeName: 'stringArray',
  }),
  'security-opt': list('Security options'),
  'shm-size': bytes('Shared memory size for build containers'),
  squash: flag('Squash newly built layers into a single new layer', { hidden: true }),
  ssh: list('SSH agent socket to expose to the build (format: "default|<id>[=<socket>]")', { typeName: 'stringArray' }),
  tag: list('Image identifier (format: "[registry/]repository[:tag]")', { shorthand: 't', typeName: 'stringArray' }),
  target: text('Set the target build stage to build'),
  ulimit: list('Ulimit options', { typeName: 'ulimit' }),
  volume: list("Bind mount a directory of the host, read-only (podman's; not part of the cache key)", {
    shorthand: 'v',
  }),
};

export type BuildValues = FlagValues<typeof buildFlags>;
