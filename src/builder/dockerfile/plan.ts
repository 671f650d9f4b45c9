/** Which stages a build needs, and what its steps are called. Pure. */
import { invalidParameter } from '#errdefs/errors.ts';
import type { Dockerfile, Stage, StageInstruction } from './instructions.ts';
import { findStage } from './scope.ts';

export interface PlannedStage {
  readonly stage: Stage;
  /** `build`, or `stage-2`. */
  readonly name: string;
}

export interface Plan {
  readonly target: Stage;
  /** In the order of the file. */
  readonly stages: readonly PlannedStage[];
  /** Steps of `Step n/total`. */
  readonly total: number;
}

/** Errors: invalid-parameter for a target that is not there. */
export function planBuild(
  file: Dockerfile,
  request: { readonly target: string; readonly named: ReadonlyMap<string, unknown> },
): Plan {
  const target = request.target === '' ? file.stages.at(-1) : findStage(file, request.target);
  if (target === undefined) {
    throw invalidParameter(
      request.target === ''
        ? 'the Dockerfile has no stages'
        : `target stage ${JSON.stringify(request.target)} could not be found`,
    );
  }
  const needed = new Set<number>();
  const need = (stage: Stage): void => {
    if (needed.has(stage.index)) return;
    needed.add(stage.index);
    for (const name of namesIn(stage)) {
      if (request.named.has(name)) continue;
      const other = findStage(file, name, stage.index);
      if (other !== undefined) need(other);
    }
  };
  need(target);
  const stages = file.stages.filter(({ index }) => needed.has(index)).map((stage) => ({ stage, name: nameOf(stage) }));
  const steps = stages.reduce((sum, { stage }) => sum + 1 + stage.instructions.length, 0);
  return { target, stages, total: file.globalArgs.length + steps };
}

export const nameOf = (stage: Stage): string => stage.from.stageWritten ?? `stage-${stage.index}`;

/** What FROM, --from and from= name. */
function namesIn(stage: Stage): string[] {
  return [stage.from.base, ...stage.instructions.flatMap(namesOf)];
}

function namesOf(instruction: StageInstruction): string[] {
  if (instruction.keyword === 'COPY') return instruction.from === undefined ? [] : [instruction.from];
  if (instruction.keyword === 'ONBUILD') return namesOf(instruction.instruction);
  if (instruction.keyword !== 'RUN') return [];
  return instruction.mounts.flatMap(({ value }) => /(?:^|,)from=([^,]+)/i.exec(value)?.[1] ?? []);
}

/** All that may be wanted of the context, or of what `from` names; undefined when variables decide. */
export function contextSources(plan: Plan, from?: string): readonly string[] | undefined {
  const wanted = from?.toLowerCase();
  const sources: string[] = [];
  for (const { stage } of plan.stages) {
    for (const instruction of stage.instructions) {
      if (instruction.keyword === 'ONBUILD') continue;
      if (instruction.keyword === 'RUN') {
        for (const { value } of instruction.mounts) {
          const isBind = /(?:^|,)type=bind/i.test(value) || !/(?:^|,)type=/i.test(value);
          const named = /(?:^|,)from=([^,]+)/i.exec(value)?.[1];
          if (named?.includes('$') === true) return undefined;
          if (named?.toLowerCase() !== wanted || (!isBind && named === undefined)) continue;
          const source = /(?:^|,)(?:source|src)=([^,]+)/i.exec(value)?.[1] ?? '/';
          if (source.includes('$')) return undefined;
          sources.push(source);
        }
        continue;
      }
      if (instruction.keyword !== 'COPY' && instruction.keyword !== 'ADD') continue;
      const named = instruction.keyword === 'COPY' ? instruction.from : undefined;
      if (named?.includes('$') === true) return undefined;
      if (named?.toLowerCase() !== wanted) continue;
      if (instruction.sources.some((source) => source.includes('$'))) return undefined;
      sources.push(...instruction.sources);
    }
  }
  return sources;
}
