/**
 * Elements of our sets as one nfnetlink batch, which is one transaction. Pure. Going through text costs several times as
 * much, on the way of every start. linux/netfilter/nf_tables.h.
 */
import { addressBytes } from '#libcontainer/netlink/ip.ts';
import type { RequestBatch } from '#libcontainer/netlink/socket.ts';
import { attribute, concat, nested, NLM, type Request, textAttribute } from '#libcontainer/netlink/codec.ts';
import type { Element, ElementChange } from './elements.ts';
import { batchOf, MESSAGE, type NftFamily, nftRequest } from './nfnetlink.ts';
import { type Part, portPart, type Protocol, protocolPart } from './parts.ts';

const LIST = { table: 1, set: 2, elements: 3 } as const;
const LIST_ELEMENT = 1;
const ELEMENT = { key: 1, value: 2, timeout: 4, lastKey: 10 } as const;
const DATA_VALUE = 1;
/** Less than an attribute can hold, whatever they are. */
const ELEMENTS_PER_REQUEST = 200;

const dataOf = (type: number, bytes: readonly Uint8Array[]): Uint8Array =>
  nested(type, [attribute(DATA_VALUE, concat(bytes))]);

const bytesOf = (parts: readonly Part[]): Uint8Array[] => parts.map(({ bytes }) => bytes);

function encoded({ key, value }: Element, verb: ElementChange['verb']): Uint8Array {
  const isRange = key.some(({ last }) => last !== undefined);
  return nested(LIST_ELEMENT, [
    dataOf(ELEMENT.key, bytesOf(key)),
    ...(isRange
      ? [
          dataOf(
            ELEMENT.lastKey,
            key.map(({ bytes, last = bytes }) => last),
          ),
        ]
      : []),
    ...(value === undefined || verb === 'delete' ? [] : [dataOf(ELEMENT.value, bytesOf(value))]),
  ]);
}

/**
 * In their order. Adding what is there already is nothing, unless it has another value; deleting what is not there fails
 * all.
 */
export function changeBatch(table: string, changes: readonly ElementChange[]): RequestBatch {
  const requests: Request[] = [];
  for (let at = 0; at < changes.length; ) {
    const first = changes[at];
    if (first === undefined) break;
    const { verb, element } = first;
    const { family, set } = element;
    const same = ({ verb: v, element: e }: ElementChange) => v === verb && e.family === family && e.set === set;
    const other = changes.findIndex((change, i) => i > at && (i === at + ELEMENTS_PER_REQUEST || !same(change)));
    const end = other < 0 ? changes.length : other;
    const elements = changes.slice(at, end).map((change) => encoded(change.element, verb));
    requests.push(elementsRequest({ table, family, set, verb }, elements));
    at = end;
  }
  return batchOf(requests);
}

interface Target {
  readonly table: string;
  readonly family: NftFamily;
  readonly set: string;
  readonly verb: ElementChange['verb'];
}

const elementsRequest = ({ table, family, set, verb }: Target, elements: readonly Uint8Array[]): Request =>
  nftRequest({
    name: `${verb} elements of "${set}"`,
    message: verb === 'add' ? MESSAGE.newSetElement : MESSAGE.deleteSetElement,
    family,
    flags: verb === 'add' ? NLM.CREATE : 0,
    attributes: [textAttribute(LIST.table, table), textAttribute(LIST.set, set), nested(LIST.elements, elements)],
  });

/** An address that a name has led a container to. */
export interface KnownAddress {
  readonly from: string;
  readonly to: string;
  /** Undefined: all ports, and what has none. */
  readonly port?: { readonly protocol: Protocol; readonly number: number };
  readonly seconds: number;
}

/**
 * Makes the addresses reachable for so long from now on. Each is added, deleted and added again, since adding alone leaves
 * the time of one that is there as it is.
 */
export function knownBatch(table: string, addresses: readonly KnownAddress[]): RequestBatch {
  const requests = addresses.flatMap(({ from, to, port, seconds }): Request[] => {
    const [source, target] = [addressBytes(from), addressBytes(to)];
    const service = port === undefined ? [] : bytesOf([protocolPart(port.protocol), portPart(port.number)]);
    const set = `known${source.length === 4 ? '4' : '6'}${port === undefined ? 'any' : ''}`;
    const timeout = new Uint8Array(8);
    new DataView(timeout.buffer).setBigUint64(0, BigInt(seconds) * 1000n);
    const key = dataOf(ELEMENT.key, [source, target, ...service]);
    const request = (verb: ElementChange['verb'], element: readonly Uint8Array[]): Request =>
      elementsRequest({ table, family: 'inet', set, verb }, [nested(LIST_ELEMENT, element)]);
    const add = request('add', [key, attribute(ELEMENT.timeout, timeout)]);
    return [add, request('delete', [key]), add];
  });
  return batchOf(requests);
}
