/** What a build's progress has to know of its Dockerfile: its steps, and the images that its stages stand on. */
import type { SessionBuildInput } from '#api/jobs/buildkit.ts';
import type { Base } from '#builder/buildkit/step-names.ts';
import type { Trace } from '#builder/buildkit/trace.ts';
import type { Dockerfile, Stage } from '#builder/dockerfile/instructions.ts';
import { requireDockerfile } from '#builder/dockerfile/parse.ts';
import { nameOf, planBuild } from '#builder/dockerfile/plan.ts';
import { findStage, globalScope, platformArgs, resolveFrom } from '#builder/dockerfile/scope.ts';
import type { SourceFile } from '#builder/dockerfile/source.ts';
import { formatPlatform, parsePlatform } from '#image/platform.ts';
import { canonicalString, parseReference, withDefaultTag } from '#reference/reference.ts';
import type { Services } from '../services.ts';

type Asked = Pick<SessionBuildInput, 'args' | 'contexts' | 'target' | 'platform' | 'pull'>;

/** Errors: DockerfileError; invalid-parameter for a target that is not there. */
export function describeSteps(
  trace: Trace,
  services: Services,
  dockerfile: SourceFile,
  { args, contexts, target, platform, pull }: Asked,
): void {
  const file = requireDockerfile(dockerfile);
  const named = new Map(Object.entries(contexts).map(([name, value]) => [name.toLowerCase(), value]));
  const plan = planBuild(file, { target, named });
  const host = services.builder.parts.backend.platform;
  const given = Object.entries(args).flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]));
  const platforms = platform.split(',').filter((text) => text !== '');
  const [first] = platforms;
  const wanted = first === undefined ? host : parsePlatform(first);
  const scope = globalScope(file, new Map(given), platformArgs(host, wanted, nameOf(plan.target)));
  const bases = new Map<number, Base>();
  for (const { stage } of plan.stages) {
    const { base } = resolveFrom(file, stage, scope);
    const image = named.get(base.toLowerCase());
    if (image === undefined && (base === 'scratch' || findStage(file, base, stage.index) !== undefined)) continue;
    if (image?.startsWith('oci-layout://') === true) {
      bases.set(stage.index, { image: '', context: base });
      continue;
    }
    const isImage = image?.startsWith('docker-image://') === true;
    const name = isImage ? image.slice('docker-image://'.length) : base;
    bases.set(stage.index, { image: name.startsWith('sha256:') ? '' : shown(name), context: isImage ? base : '' });
  }
  const shownPlatforms = new Set(platforms.map((text) => formatPlatform(parsePlatform(text))));
  const areStagesNamed = file.stages.length > 1 || plan.stages.some(({ stage }) => hasOtherSources(file, stage));
  trace.describe(file, { bases, areStagesNamed }, [...shownPlatforms], (base) => !pull && isHere(services, base));
}

/** Than stages: images, contexts, and the nothing that a cache mount begins with. */
function hasOtherSources(file: Dockerfile, { index, instructions }: Stage): boolean {
  return instructions.some((instruction) => {
    if (instruction.keyword === 'COPY') {
      return instruction.from !== undefined && findStage(file, instruction.from, index) === undefined;
    }
    if (instruction.keyword !== 'RUN') return false;
    return instruction.mounts.some(({ value }) => {
      const from = /(?:^|,)from=([^,]+)/i.exec(value)?.[1];
      if (from !== undefined) return findStage(file, from, index) === undefined;
      return /(?:^|,)type=cache(?:,|$)/i.test(value);
    });
  });
}

function isHere({ images }: Services, base: string): boolean {
  try {
    return images.resolve(base).id !== '';
  } catch {
    return false;
  }
}

function shown(name: string): string {
  try {
    return canonicalString(withDefaultTag(parseReference(name)));
  } catch {
    // What is no name of an image is told when it is looked for.
    return name;
  }
}
