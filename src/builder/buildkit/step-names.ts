/**
 * Steps of a build as BuildKit shows them: instructions that only say something about the image are no steps and do not
 * count. Also where a step is in its file.
 */
import type { Dockerfile, StageInstruction } from '../dockerfile/instructions.ts';
import type { SourceFile, SourceRange } from '../dockerfile/source.ts';
import type { Vertex } from '../progress.ts';

const steps: ReadonlySet<StageInstruction['keyword']> = new Set(['RUN', 'COPY', 'ADD', 'WORKDIR']);

/** `[PLATFORM.]STAGE.NUMBER`; 0 is the FROM. */
const ID = /^(?:(?<platform>.+)\.)?(?<stage>\d+)\.(?<number>\d+)$/;
const GLOBAL = /(?:^|\.)global\.\d+$/;

interface Found {
  readonly platform: string | undefined;
  readonly stage: Dockerfile['stages'][number];
  /** From 1; undefined for what is no step. */
  readonly at: number | undefined;
  readonly total: number;
  readonly instruction: { readonly text: string; readonly range: SourceRange };
}

export class StepNames {
  readonly #file: Dockerfile;

  constructor(file: Dockerfile) {
    this.#file = file;
  }

  /** Undefined: it is not shown. */
  nameOf(vertex: Vertex): string | undefined {
    if (GLOBAL.test(vertex.id)) return undefined;
    const found = this.#find(vertex.id);
    if (found === undefined) return vertex.name;
    if (found.at === undefined) return undefined;
    return `[${this.#prefix(vertex, found)}${String(found.at).padStart(String(found.total).length)}/${found.total}] ${found.instruction.text}`;
  }

  /** Of a step that is shown only because it failed. */
  nameOfFailed(vertex: Vertex): string {
    const found = this.#find(vertex.id);
    if (found === undefined) return vertex.name;
    const prefix = this.#prefix(vertex, found).trim();
    return prefix === '' ? found.instruction.text : `[${prefix}] ${found.instruction.text}`;
  }

  placeOf(id: string): { readonly source: SourceFile; readonly range: SourceRange } | undefined {
    const range = this.#find(id)?.instruction.range;
    return range === undefined ? undefined : { source: this.#file.source, range };
  }

  #prefix({ stage: name }: Vertex, { platform, stage }: Found): string {
    const isNamed = this.#file.stages.length > 1 || stage.from.stage !== undefined;
    return `${platform === undefined ? '' : `${platform} `}${isNamed ? `${name} ` : ''}`;
  }

  #find(id: string): Found | undefined {
    const groups = ID.exec(id)?.groups;
    const stage = this.#file.stages[Number(groups?.['stage'] ?? Number.NaN)];
    if (groups === undefined || stage === undefined) return undefined;
    const number = Number(groups['number']);
    const { instructions, from } = stage;
    const total = 1 + instructions.filter(({ keyword }) => steps.has(keyword)).length;
    const common = { platform: groups['platform'], stage, total };
    if (number === 0) return { ...common, at: 1, instruction: from };
    const instruction = instructions[number - 1];
    if (instruction === undefined) return undefined;
    const before = instructions.slice(0, number).filter(({ keyword }) => steps.has(keyword)).length;
    return { ...common, at: steps.has(instruction.keyword) ? 1 + before : undefined, instruction };
  }
}
