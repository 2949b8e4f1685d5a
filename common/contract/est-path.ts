/** The paths of EST (RFC 7030, section 3.2.2), the same on every door that serves it. */
import { Fault } from '../fault.ts';
import { type FleetId, isFleetId } from '../identity.ts';
import { type EstOperation, estOperations } from './enrollment.ts';

const prefix = '/.well-known/est/';

export const isEstPath = (path: string): boolean => path.startsWith(prefix);

export interface EstTarget {
  readonly operation: EstOperation;
  /** The optional label: the fleet. */
  readonly label: FleetId | null;
}

const methods = {
  cacerts: ['GET', 'HEAD'],
  csrattrs: ['GET', 'HEAD'],
  simpleenroll: ['POST'],
  simplereenroll: ['POST'],
  serverkeygen: ['POST'],
} as const satisfies Record<EstOperation, readonly string[]>;

/**
 * What a request is for. `path` is without its query. Nothing in it needs percent-encoding, so none is understood. Faults
 * `not-found`, also for a label that is the name of an operation, which the RFC forbids; `method-not-allowed`.
 */
export function estTargetOf(method: string, path: string): EstTarget {
  const words = path.slice(prefix.length).split('/');
  const operation = words.pop() ?? '';
  const [label = null, ...more] = words;
  if (!isEstPath(path) || !isOperation(operation) || more.length > 0) throw nothing(path);
  if (label !== null && (isOperation(label) || !isFleetId(label))) throw nothing(path);
  const allowed: readonly string[] = methods[operation];
  if (allowed.includes(method)) return { operation, label };
  throw new Fault('method-not-allowed', `Here one may ${allowed.join(' or ')}.`, {
    fields: { allow: allowed.join(', ') },
  });
}

const isOperation = (word: string): word is EstOperation => estOperations.some((each) => each === word);

const nothing = (path: string) =>
  new Fault('not-found', `There is nothing at ${path}; EST has ${estOperations.join(', ')}.`);
