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
  readonly instruction: Shown;
  readonly text: string;
}

export interface Base {
  /** '' for the result of another build, which nothing is told of. */
  readonly image: string;
  /** The context that it comes by; '' for none. */
  readonly context: string;
}

export interface Described {
  /** What stages stand on, by their indexes; those on another stage or on nothing have none, and show no FROM. */
  readonly bases: ReadonlyMap<number, Base>;
  /** Steps say of which stage they are: there are several, or other sources of files, which count as such. */
  readonly areStagesNamed: boolean;
}

type Shown = StageInstruction | Dockerfile['stages'][number]['from'];

/** With what is behind a heredoc. */
function summary(instruction: Shown, text: string): string {
  const { keyword } = instruction;
  if (keyword === 'COPY' || keyword === 'ADD') return text.replaceAll(/<<-?(["']?)([\w.]+)\1/g, '<<$2');
  if (keyword !== 'RUN') return text;
  const [only, ...more] = instruction.heredocs;
  const isAlone = only !== undefined && more.length === 0 && /^RUN\s+(?:--\S+\s+)*<<-?\S+$/i.test(text);
  if (!isAlone) return text;
  const lines = only.content.trim().split(/\r?\n/);
  return `${text} (${lines[0] ?? ''}${lines.length > 1 ? '...' : ''})`;
}

export class StepNames {
  readonly #file: Dockerfile;
  readonly #described: Described;

  constructor(file: Dockerfile, described: Described) {
    this.#file = file;
    this.#described = described;
  }

  /** The image of a FROM, and whose platform it is of when there are several. */
  baseOf(id: string): { readonly base: Base; readonly platform: string | undefined } | undefined {
    const found = this.#find(id);
    const base = found === undefined ? undefined : this.#described.bases.get(found.stage.index);
    if (found === undefined || base === undefined || base.image === '') return undefined;
    if (found.instruction !== found.stage.from) return undefined;
    return { base, platform: found.platform };
  }

  /** Undefined: it is not shown. */
  nameOf(vertex: Vertex, shown?: string): string | undefined {
    if (GLOBAL.test(vertex.id)) return undefined;
    const found = this.#find(vertex.id);
    if (found === undefined) return vertex.name;
    const base = this.baseOf(vertex.id)?.base;
    if (base !== undefined && base.context !== '') return `[context ${base.context}] ${base.image}`;
    if (found.at === undefined) return undefined;
    return `[${this.#prefix(vertex, found)}${String(found.at).padStart(String(found.total).length)}/${found.total}] ${summary(found.instruction, shown ?? found.text)}`;
  }

  /** Of a step that is shown only because it failed. */
  nameOfFailed(vertex: Vertex): string {
    const found = this.#find(vertex.id);
    if (found === undefined) return vertex.name;
    const prefix = this.#prefix(vertex, found).trim();
    return prefix === '' ? found.text : `[${prefix}] ${found.text}`;
  }

  placeOf(id: string): { readonly source: SourceFile; readonly range: SourceRange } | undefined {
    const range = this.#find(id)?.instruction.range;
    return range === undefined ? undefined : { source: this.#file.source, range };
  }

  #prefix({ stage: name }: Vertex, { platform }: Found): string {
    return `${platform === undefined ? '' : `${platform} `}${this.#described.areStagesNamed ? `${name} ` : ''}`;
  }

  #find(id: string): Found | undefined {
    const groups = ID.exec(id)?.groups;
    const stage = this.#file.stages[Number(groups?.['stage'] ?? Number.NaN)];
    if (groups === undefined || stage === undefined) return undefined;
    const number = Number(groups['number']);
    const { instructions, from } = stage;
    const base = this.#described.bases.get(stage.index);
    // An image that a context stands for counts, and is no step.
    const first = base === undefined || base.context !== '' ? 0 : 1;
    const total = (base === undefined ? 0 : 1) + instructions.filter(({ keyword }) => steps.has(keyword)).length;
    const common = { platform: groups['platform'], stage, total };
    if (number === 0)
      return {
        ...common,
        at: base === undefined || base.image === '' ? undefined : 1,
        instruction: from,
        text: `FROM ${base?.image ?? from.base}`,
      };
    const instruction = instructions[number - 1];
    if (instruction === undefined) return undefined;
    const before = instructions.slice(0, number).filter(({ keyword }) => steps.has(keyword)).length;
    const at = steps.has(instruction.keyword) ? first + before : undefined;
    return { ...common, at, instruction, text: instruction.text };
  }
}
