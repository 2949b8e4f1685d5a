/** What `policies test` asks, read from its flags. */
import { Fault } from '#common/fault.ts';
import type { NounFlags } from './noun.ts';

export interface QuestionFlags extends NounFlags {
  device?: string;
  fleet?: string;
  id?: string;
  attribute?: string[];
  role?: string;
  publish?: string;
  subscribe?: string;
  http?: string;
  method?: string;
  qos?: string;
  retain?: boolean;
}

/** The body of POST /v1/policies:test. Faults `malformed`. */
export function questionOf(flags: QuestionFlags): Record<string, unknown> {
  const { device, fleet, id, attribute, role, method, qos, retain } = flags;
  const actions = (['publish', 'subscribe', 'http'] as const).filter((action) => flags[action] !== undefined);
  const [action] = actions;
  if (action === undefined || actions.length > 1)
    throw new Fault('malformed', 'Ask for one of --publish TOPIC, --subscribe FILTER, --http PATH.');
  if ((device === undefined) === (fleet === undefined))
    throw new Fault(
      'malformed',
      'Name a device with --device, or one that could be with --fleet and --attribute.',
    );
  if (device !== undefined && (attribute !== undefined || id !== undefined))
    throw new Fault(
      'malformed',
      '--attribute and --id are of a device that could be; one that is there has its own.',
    );
  if (qos !== undefined && !/^[012]$/.test(qos)) throw new Fault('malformed', 'QoS is 0, 1 or 2.');
  return {
    device,
    fleet,
    id,
    attributes: fleet === undefined ? undefined : Object.fromEntries((attribute ?? []).map(pairOf)),
    role,
    action,
    topic: flags[action],
    method,
    qos: qos === undefined ? undefined : Number(qos),
    retain,
  };
}

/** `name=value`. Faults `malformed`. */
export function pairOf(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new Fault('malformed', `"${text}" is no name=value.`);
  return [text.slice(0, at), text.slice(at + 1)];
}
