/**
 * A device listener: counts and limits before a byte of TLS is read, asks for a client certificate but lets nobody be
 * refused by TLS itself, so that whoever is refused can be told why, and hands finished connections on.
 */
import { randomBytes } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import tls, { type TLSSocket } from 'node:tls';
import type { Cancel, Clock } from '#common/clock.ts';
import type { DoorCertificateSource } from '#common/contract/line.ts';
import type { FaultKind } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import type { TlsSettings } from '../settings.ts';
import type { ConnectLimits } from './connect-limits.ts';
import { type HandshakeFailure, maxLeaf } from './handshake-failure.ts';
import type { Peer } from './peer.ts';
import { addressOf, readPeer } from './read-peer.ts';

export interface ListenerOptions {
  host: string;
  port: number;
  limits: ConnectLimits;
  tls: TlsSettings;
  doors: DoorCertificateSource;
  alpn?: readonly string[];
  handshakeTimeoutMs: number;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  /** Refused before TLS, for the count; the socket is gone. `address` has no port. */
  onRefused: (reason: FaultKind, address: string) => void;
  /** A handshake that came to nothing; the socket is gone. */
  onFailed: (failure: HandshakeFailure) => void;
  /** A finished handshake. `acceptedAtMs` is of `clock.elapsed()`. */
  onConnection: (socket: TLSSocket, peer: Peer, acceptedAtMs: number) => void;
}

/** Pending connections that the system keeps for us; the kernel's own limit caps it. */
const backlog = 4096;

/** What is known of a raw socket when it is accepted, found again by the TLS socket that wraps it. */
const arrival = Symbol('arrival');
type Accepted = Socket & { [arrival]?: Arrival };

interface Arrival {
  readonly atMs: number;
  readonly address: string;
  /** Ends the wait for the handshake. */
  readonly shaken: Cancel;
  /** Whether the wait was over before it was done. */
  late: boolean;
}

export class Listener implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;
  readonly #stopRenewing: () => void;

  private constructor(server: Server, stopRenewing: () => void) {
    this.#server = server;
    this.#stopRenewing = stopRenewing;
    this.port = (server.address() as { port: number }).port;
  }

  static async open(options: ListenerOptions): Promise<Listener> {
    const { doors, limits, clock, log, metrics } = options;
    const secure = tls.createServer({ ...tlsOptions(options), ...contextOf(options) });
    // Fresh keys a start: a ticket is good for this process only. They must survive setSecureContext.
    secure.setTicketKeys(randomBytes(48));
    const stopRenewing = doors.onRenewed(() => secure.setSecureContext(contextOf(options)));

    secure.on('secureConnection', (socket) => {
      // From here on whoever holds the socket owns its errors; this keeps a reset in between from ending the process.
      socket.on('error', ignore);
      const { atMs, address, shaken } = arrivalOf(socket);
      shaken();
      const peer = readPeer(socket, address);
      const resumed = peer.resumed ? 'yes' : 'no';
      metrics.tlsHandshakesTotal.inc({ version: peer.tlsVersion, resumed, result: 'done' });
      options.onConnection(socket, peer, atMs);
    });
    // For clients that ask (RFC 6066, section 8). Every handshake then stops by here to see whether this one does.
    if (options.tls.stapling)
      secure.on('OCSPRequest', (_certificate, _issuer, answer) => answer(null, doors.staple()));
    // A scanner, a client without trust in us, a deadline: one count, no line of log for each.
    secure.on('tlsClientError', (error, socket) => {
      metrics.tlsHandshakesTotal.inc({ version: 'unknown', resumed: 'no', result: 'failed' });
      options.onFailed(failureOf(error, socket));
      socket.destroy();
    });

    const server = createServer({ noDelay: true }, (socket: Accepted) => {
      const address = socket.remoteAddress ?? '';
      const refusal = limits.enter(address);
      if (refusal) {
        socket.destroy();
        options.onRefused(refusal, address);
        return;
      }
      const shaken = clock.after(options.handshakeTimeoutMs, () => {
        arrived.late = true;
        socket.destroy();
      });
      const arrived: Arrival = { atMs: clock.elapsed(), address: addressOf(socket), shaken, late: false };
      socket[arrival] = arrived;
      socket.once('close', () => {
        shaken();
        limits.leave(address);
      });
      secure.emit('connection', socket);
    });
    server.on('error', (error) => log.error({ error: error.message }, 'A listener failed.'));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: options.host, port: options.port, backlog }, () => {
        server.off('error', reject);
        resolve();
      });
    });
    return new Listener(server, stopRenewing);
  }

  /** Stops accepting; open connections belong to their sessions. */
  stop(): void {
    this.#server.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopRenewing();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

const ignore = () => {};

const arrivalOf = (socket: TLSSocket) => (socket as unknown as { _parent: Accepted })._parent[arrival]!;

/** What is known of a handshake when it has failed. */
function failureOf(error: Error, socket: TLSSocket): HandshakeFailure {
  const { _parent: accepted } = socket as unknown as { _parent?: Accepted };
  const arrived = accepted?.[arrival];
  // The one question that may be asked of a handshake whose socket is gone: getProtocol() and its like end the process.
  const leaf = socket.getPeerX509Certificate()?.raw ?? null;
  return {
    address: arrived?.address ?? 'unknown',
    code: (error as NodeJS.ErrnoException).code ?? 'unknown',
    late: arrived?.late ?? false,
    spoke: (accepted?.bytesRead ?? 0) > 0,
    leaf: leaf && leaf.length <= maxLeaf ? leaf : null,
  };
}

const tlsOptions = ({ tls: settings, alpn }: ListenerOptions) => ({
  requestCert: true,
  rejectUnauthorized: false,
  // Ours (above): Node's would leave a timer on the socket that every later read and write has to look at.
  handshakeTimeout: -1,
  sessionTimeout: Math.round(settings.ticketLifetime / 1000),
  ...(alpn && { ALPNProtocols: [...alpn] }),
});

const contextOf = ({ doors, tls: settings }: ListenerOptions) => ({
  key: doors.current.key,
  cert: doors.current.chain,
  // TLS judges nobody, so it needs no anchors (docs/decisions/09-recorded-certificates.md); without this Node loads its own.
  ca: [],
  minVersion: settings.minVersion as tls.SecureVersion,
  ecdhCurve: settings.groups,
  honorCipherOrder: true,
});
