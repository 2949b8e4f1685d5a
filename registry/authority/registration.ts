/**
 * Devices that are known before they enroll, one by one out of a list: registered, and certified at once where the list
 * brings a CSR. What was done is answered as done, so that a list can be sent again.
 */
import { hash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '#common/clock.ts';
import type { IssuedCertificate } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId, FleetId } from '#common/identity.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import { readCsr } from './csr.ts';
import { admitDevice } from './enroll.ts';
import type { Feed } from './feed.ts';
import type { Fleets } from './fleets.ts';
import type { Gateways } from './gateways.ts';
import type { Issuance } from './issuance.ts';
import type { Profiles } from './profiles.ts';

export interface DeviceOrder {
  readonly id: DeviceId;
  readonly fleet: FleetId;
  /** Null for the role of its fleet. */
  readonly role: string | null;
  readonly attributes: Readonly<Record<string, string>>;
  readonly state: 'active' | 'pending';
  /** DER; null to register it only. */
  readonly csr: Buffer | null;
}

/** `done` for what was done before. */
export interface Registered {
  readonly status: 'registered' | 'enrolled' | 'done';
  readonly issued: IssuedCertificate | null;
}

export interface RegistrationParts {
  writer: Writer;
  audit: Audit;
  feed: Feed;
  gateways: Gateways;
  issuance: Issuance;
  fleets: Fleets;
  profiles: Profiles;
  clock: Clock;
}

export class Registration {
  readonly #parts: RegistrationParts;

  constructor(parts: RegistrationParts) {
    this.#parts = parts;
  }

  /**
   * Faults `not-found` for fleet and role, `conflict` for a device that is there and other than ordered, and `csr-…` as
   * named; the device stays registered then. An operator orders it: no approval is asked for.
   */
  async register(order: DeviceOrder, actor: string): Promise<Registered> {
    const { writer, gateways } = this.#parts;
    const change = await writer.write((write) => this.#enter(write, order, actor));
    if (change) gateways.announceLater(change);
    if (!order.csr) return { status: change ? 'registered' : 'done', issued: null };
    const { issued, isNew } = await this.#certify(order, order.csr, actor);
    return { status: isNew ? 'enrolled' : 'done', issued };
  }

  /** Undefined when it is there as ordered. */
  async #enter(write: Write, order: DeviceOrder, actor: string) {
    const { audit, feed, clock } = this.#parts;
    const { id, fleet, role, attributes, state } = order;
    const known = await write.selectFrom('devices').selectAll().where('id', '=', id).executeTakeFirst();
    if (known && known.state !== 'deleted') {
      const other = differenceOf(order, { ...known, attributes: JSON.parse(known.attributes) });
      if (other) throw new Fault('conflict', `The device ${id} is there already, with another ${other}.`);
      return undefined;
    }
    await judgeReferences(write, order);
    await admitDevice(write, { device: id, fleet, attributes, role, state }, clock.now());
    const detail = { before: null, after: { fleet, role, attributes, state } };
    await audit.append(write, { actor, action: 'device.register', target: id, detail });
    return feed.append(write, { kind: 'device-registered', fleet, device: id });
  }

  async #certify({ id, fleet, attributes }: DeviceOrder, der: Buffer, actor: string) {
    const { issuance, fleets, profiles, clock } = this.#parts;
    const csrHash = hash('sha256', der, 'hex');
    const before = await issuance.recall(id, { csrHash });
    if (before) return { issued: before.issued, isNew: false };
    const mandate = {
      device: id,
      fleet,
      attributes,
      profile: await profiles.find((await fleets.terms(fleet)).profile),
      source: 'import',
      actor,
      replaces: null,
      spend: (write: Write) => admitDevice(write, { device: id, fleet, attributes }, clock.now()),
    };
    return { issued: await issuance.issue(mandate, await readCsr(der), csrHash), isNew: true };
  }
}

/** What is said otherwise; its state is its own since it was registered. */
function differenceOf(
  order: DeviceOrder,
  known: { fleet: string; role: string | null; attributes: unknown },
): string | null {
  if (known.fleet !== order.fleet) return 'fleet';
  if (known.role !== order.role) return 'role';
  return isDeepStrictEqual(known.attributes, { ...order.attributes }) ? null : 'set of attributes';
}

async function judgeReferences(write: Write, { fleet, role }: DeviceOrder): Promise<void> {
  const known = await write.selectFrom('fleets').select('id').where('id', '=', fleet).executeTakeFirst();
  if (!known) throw new Fault('not-found', `There is no fleet ${fleet}; create it first.`);
  if (role === null) return;
  const named = await write.selectFrom('roles').select('name').where('name', '=', role).executeTakeFirst();
  if (!named) throw new Fault('not-found', `There is no role ${role}.`);
}
