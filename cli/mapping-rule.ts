/** Mapping rules as they are written on the command line: `uri=urn:dev:{id}`, `otherName:1.3.6.1.5.5.7.8.4/hex#0`. */
import { Fault } from '#common/fault.ts';

export interface WrittenRule {
  readonly from: string;
  readonly type?: string;
  readonly index?: number;
  readonly pattern?: string;
  readonly encoding?: string;
}

/** `from[:oid][/hex][#index][=pattern]`. Whether it fits, the registry says. Faults `malformed`. */
export function readRule(text: string): WrittenRule {
  const equals = text.indexOf('=');
  const head = equals < 0 ? text : text.slice(0, equals);
  const match = /^([A-Za-z]+)(?::([0-9.]+))?(?:\/(text|hex))?(?:#([0-9]+))?$/.exec(head);
  if (!match)
    throw new Fault(
      'malformed',
      `"${text}" is no mapping rule; write from[:oid][/hex][#index][=pattern], as uri=urn:dev:{id}.`,
    );
  const [, from = '', type, encoding, index] = match;
  return {
    from,
    ...(type && { type }),
    ...(encoding && { encoding }),
    ...(index && { index: Number(index) }),
    ...(equals >= 0 && { pattern: text.slice(equals + 1) }),
  };
}

export const writeRule = ({ from, type, index, pattern, encoding }: WrittenRule): string =>
  [
    from,
    type && `:${type}`,
    encoding && `/${encoding}`,
    index !== undefined && `#${index}`,
    pattern && `=${pattern}`,
  ]
    .filter(Boolean)
    .join('');
