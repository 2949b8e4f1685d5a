/**
 * Renewal over a live session: a CSR comes as a PUBLISH, goes to the registry beside everything else that the session
 * says, and the answer is a PUBLISH to the session that asked. It never meets the broker. What is lost on the way back
 * is asked for again: the same CSR gets the same answer, so QoS 0 is enough for it.
 */
import type { Clock } from '#common/clock.ts';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import { filterMatches } from '#common/topic-match.ts';
import { csrDer } from '#common/x509/pem.ts';
import type { Rights } from '../sessions/rights.ts';
import type { MqttSettings } from '../settings.ts';
import { publish0 } from './answers.ts';
import type { Properties } from './properties.ts';

export interface RenewalsParts {
  ask: AskRegistry;
  settings: Pick<MqttSettings, 'maxRenewals' | 'maxCsrSize'>;
  clock: Clock;
}

/** A session asks at most so often; sooner it is told to wait, and nobody is bothered. */
const pauseMs = 1_000;
/** Who is turned away for want of room, or of a registry, comes back within so long, spread. */
const comeBackMs = { least: 1_000, most: 10_000 };
/** Longest PEM of a DER of one byte: base64, line ends and the two boundaries. */
const pemGrowth = 1.5;

/** The session that asks. */
export interface Asker {
  readonly version: 4 | 5;
  readonly device: string;
  readonly rights: Rights;
  /** The filters that it has subscribed to. */
  readonly filters: readonly string[];
  /** Longest packet that the client takes; endless when it did not say. */
  readonly maximumPacketSize: number;
  /** DER of the certificate that the handshake has proved. */
  readonly certificate: Buffer | null;
  write(bytes: Buffer): void;
}

/** A PUBLISH, as far as it matters here. */
export interface RenewalRequest {
  readonly properties: Properties;
  readonly payload: Buffer;
}

export class Renewals {
  readonly #parts: RenewalsParts;
  readonly #underWay = new Set<Asker>();
  /** When a session may ask again, in the clock's elapsed time. */
  readonly #next = new WeakMap<Asker, number>();

  constructor(parts: RenewalsParts) {
    this.#parts = parts;
  }

  /**
   * Takes a request; its answer comes later. False when the session does not listen for the answer: then nothing was
   * asked, since nobody would learn of the certificate.
   */
  take(asker: Asker, { properties, payload }: RenewalRequest): boolean {
    const topics = listenedTo(asker, properties.responseTopic);
    if (!topics) return false;
    const answer = (topic: string, document: unknown): boolean => {
      const bytes = publish0(topic, JSON.stringify(document), asker.version, properties.correlationData);
      const fits = bytes.length <= asker.maximumPacketSize; // [MQTT-3.1.2-24]
      if (fits) asker.write(bytes);
      return fits;
    };
    this.#renew(asker, payload).then(
      (issued) => {
        if (!answer(topics.accepted, issued))
          answer(
            topics.rejected,
            refusalOf(new Fault('too-large', 'The answer is longer than this client takes.')),
          );
      },
      (thrown) => void answer(topics.rejected, refusalOf(Fault.of(thrown))),
    );
    return true;
  }

  async #renew(asker: Asker, payload: Buffer) {
    const { ask, clock } = this.#parts;
    // Read before anything is awaited: the payload is the socket's own bytes.
    const csr = this.#read(payload);
    this.#judge(asker, clock.elapsed());
    const leaf = asker.certificate;
    if (!leaf)
      throw new Fault('no-certificate', 'Connect anew: the certificate of this session is not at hand.');
    this.#underWay.add(asker);
    try {
      return await ask('renew', { chain: [leaf.toString('base64')], csr: csr.toString('base64') });
    } finally {
      this.#underWay.delete(asker);
      this.#next.set(asker, clock.elapsed() + pauseMs);
    }
  }

  /** PEM or DER. Faults `csr-too-large`, `csr-malformed`. */
  #read(payload: Buffer): Buffer {
    const { maxCsrSize } = this.#parts.settings;
    const tooLarge = new Fault('csr-too-large', `A CSR has at most ${maxCsrSize} bytes of DER here.`);
    if (payload.length > maxCsrSize * pemGrowth) throw tooLarge;
    // A SEQUENCE begins with 0x30; a PEM with a hyphen, or white space.
    const der = payload[0] === 0x30 ? payload : csrDer(payload.toString('latin1'));
    if (der.length > maxCsrSize) throw tooLarge;
    return der;
  }

  /** One a session at a time, so many over all. Faults `rate-limited`. */
  #judge(asker: Asker, elapsedMs: number): void {
    if (this.#underWay.has(asker))
      throw new Fault('rate-limited', 'A renewal of this session is under way; wait for its answer.', {
        retryAfterMs: pauseMs,
      });
    const waitMs = (this.#next.get(asker) ?? 0) - elapsedMs;
    if (waitMs > 0)
      throw new Fault('rate-limited', 'This session has just asked; wait a moment.', {
        retryAfterMs: Math.ceil(waitMs),
      });
    if (this.#underWay.size >= this.#parts.settings.maxRenewals)
      throw new Fault('rate-limited', 'Too many devices renew at this moment; try again.', {
        retryAfterMs: spread(),
      });
  }
}

const spread = (): number =>
  Math.round(comeBackMs.least + Math.random() * (comeBackMs.most - comeBackMs.least));

function refusalOf({ kind, message, retryAfterMs, fields }: Fault): object {
  const wait = retryAfterMs ?? (kind === 'unavailable' ? spread() : undefined);
  return { code: kind, message, ...fields, ...(wait !== undefined && { retryAfterMs: wait }) };
}

/**
 * Where the answers go: to the response topic when the request names one (MQTT 5, section 4.10), else to the two topics of
 * the house; only where the session may receive and has subscribed. Undefined when it has not.
 */
function listenedTo(
  { device, rights, filters: all }: Asker,
  responseTopic: string | undefined,
): { accepted: string; rejected: string } | undefined {
  const own = `devices/${device}/certificates/renew`;
  const topics =
    responseTopic === undefined
      ? { accepted: `${own}/accepted`, rejected: `${own}/rejected` }
      : { accepted: responseTopic, rejected: responseTopic };
  const filters = all.map((filter) => filter.split('/'));
  const heard = Object.values(topics).every(
    (topic) => rights.mayReceive(topic) && filters.some((filter) => filterMatches(filter, topic.split('/'))),
  );
  return heard ? topics : undefined;
}
