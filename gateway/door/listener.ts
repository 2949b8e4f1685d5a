/**
 * A device listener: counts and limits before a byte of TLS is read, asks for a client certificate but lets nobody be
 * refused by TLS itself, so that whoever is refused can be told why, and hands finished connections on.
 */
import { constants } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import tls, { type SecureContext, type TLSSocket } from 'node:tls';
import type { Cancel, Clock } from '#common/clock.ts';
import type { DoorCertificateSource } from '#common/contract/line.ts';
import type { Fault, FaultKind } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import type { TlsSettings } from '../settings.ts';
import type { ConnectLimits } from './connect-limits.ts';
import { shakeHands } from './handshake.ts';
import { type HandshakeFailure, maxLeaf } from './handshake-failure.ts';
import type { HandshakeQueue } from './handshake-queue.ts';
import type { Peer } from './peer.ts';
import type { Proxied } from './proxied.ts';
import { addressOf, readPeer } from './read-peer.ts';
import type { TicketKeys } from './ticket-keys.ts';

export interface ListenerOptions {
  host: string;
  port: number;
  /** Whether other processes listen on the same port: the system spreads connections over them. */
  reusePort: boolean;
  limits: ConnectLimits;
  tls: TlsSettings;
  doors: DoorCertificateSource;
  alpn?: readonly string[];
  tickets: TicketKeys;
  /** Which door this is, for its tickets. */
  door: 'mqtts' | 'https';
  handshakes: HandshakeQueue;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  /** A socket that listens already, handed over by whoever started us; then `host` and `port` are not asked. */
  fd?: number;
  /** Set when proxies are in front of the listener. */
  proxied?: Proxied;
  /** Turned away for what a PROXY header said, or did not; the socket is gone. */
  onMisled: (fault: Fault, peer: Peer) => void;
  /** Refused before TLS, for the count; the socket is gone. `address` has no port. */
  onRefused: (reason: FaultKind, address: string) => void;
  /** A handshake that came to nothing; the socket is gone. */
  onFailed: (failure: HandshakeFailure) => void;
  /** A finished handshake. `acceptedAtMs` is of `clock.elapsed()`. */
  onConnection: (socket: TLSSocket, peer: Peer, acceptedAtMs: number) => void;
}

/** Pending connections that the system keeps for us; the kernel's own limit caps it. */
const backlog = 4096;

/** What is known of a raw socket when it is accepted. */
interface Arrival {
  readonly atMs: number;
  readonly address: string;
  /** Ends the wait for the handshake. */
  readonly shaken: Cancel;
  /** Whether the wait was over before it was done. */
  isLate: boolean;
  /** Whether its turn has come, or it was refused: else nobody but us can tell that it came to nothing. */
  isAccounted: boolean;
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
    const { doors, tickets, door, limits, handshakes, clock, log, metrics } = options;
    let context = contextOf(options, tickets.of(door));
    const renew = () => {
      context = contextOf(options, tickets.of(door));
    };
    const stops = [tickets.onRotated(renew), doors.onRenewed(renew)];
    const stopRenewing = () => {
      for (const stop of stops) stop();
    };
    const alpn = options.alpn && alpnBytes(options.alpn);

    const fail = (raw: Socket, arrival: Arrival, error: Error | null, leaf: Buffer | null) => {
      metrics.tlsHandshakesTotal.inc({ version: 'unknown', resumed: 'no', result: 'failed' });
      options.onFailed({
        address: arrival.address,
        code: (error as NodeJS.ErrnoException | null)?.code ?? 'unknown',
        late: arrival.isLate,
        spoke: raw.bytesRead > 0,
        leaf: leaf && leaf.length <= maxLeaf ? leaf : null,
      });
    };
    const shake = (raw: Socket, arrival: Arrival) => {
      const { atMs, address, shaken } = arrival;
      shakeHands(raw, {
        context,
        alpn,
        staple: options.tls.stapling ? doors.staple() : null,
        done: (socket) => {
          shaken();
          const peer = readPeer(socket, address);
          const resumed = peer.resumed ? 'yes' : 'no';
          metrics.tlsHandshakesTotal.inc({ version: peer.tlsVersion, resumed, result: 'done' });
          options.onConnection(socket, peer, atMs);
        },
        // A scanner, a client without trust in us, a deadline: one count, no line of log for each.
        failed: (error, leaf) => fail(raw, arrival, error, leaf),
      });
    };

    /** Takes a place for whom the connection is made, and begins when it is its turn: by `before`, if there is one. */
    const arrive = (socket: Socket, host: string, port: number, before?: (go: () => void) => void) => {
      const refusal = limits.enter(host);
      if (refusal) {
        socket.destroy();
        options.onRefused(refusal, host);
        return;
      }
      const arrival = {
        atMs: clock.elapsed(),
        address: addressOf(host, port),
        isLate: false,
        isAccounted: false,
        shaken: () => shaken(),
      };
      const go = () => shake(socket, arrival);
      const begin = before ? () => before(go) : go;
      const shaken = handshakes.enter(socket, host, {
        begin: () => {
          arrival.isAccounted = true;
          begin();
        },
        late: () => {
          arrival.isLate = true;
        },
        dropped: () => {
          arrival.isAccounted = true;
          options.onRefused('connection-rate', host);
        },
      });
      socket.once('close', () => {
        shaken();
        limits.leave(host);
        if (!arrival.isAccounted) fail(socket, arrival, null, null);
      });
    };
    const { proxied } = options;
    const server = createServer(
      { noDelay: true },
      proxied
        ? acceptThrough(proxied, arrive, options.onMisled)
        : (socket) => arrive(socket, socket.remoteAddress ?? '', socket.remotePort ?? 0),
    );
    server.on('error', (error) => log.error({ error: error.message }, 'A listener failed.'));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      const { host, port, reusePort, fd } = options;
      server.listen(fd === undefined ? { host, port, reusePort, backlog } : { fd }, () => {
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

/** Accepts behind proxies: from those that are listed, for whom they say; from others, for themselves or not at all. */
function acceptThrough(
  proxied: Proxied,
  arrive: (socket: Socket, host: string, port: number, before?: (go: () => void) => void) => void,
  onMisled: ListenerOptions['onMisled'],
): (socket: Socket) => void {
  return (socket) => {
    const { remoteAddress: host, remotePort: port = 0 } = socket;
    // Reset before it was accepted, as health checks do: nobody is there any more.
    if (host === undefined) return void socket.destroy();
    const turnAway = (fault: Fault) => {
      socket.destroy();
      onMisled(fault, {
        address: addressOf(host, port),
        fingerprint: null,
        resumed: false,
        tlsVersion: 'none',
      });
    };
    if (proxied.lists(host)) {
      proxied.hear(socket, (said) => {
        if (said instanceof Error) return turnAway(said);
        if (!socket.destroyed) arrive(socket, said?.address ?? host, said?.port ?? port);
      });
      return;
    }
    // By its own address it is limited like anybody, so that nobody fills the journal with what is refused here.
    arrive(socket, host, port, (go) => {
      if (!proxied.isOptional) return turnAway(proxied.unlisted());
      proxied.suspect(socket, (said) => {
        if (said instanceof Error) turnAway(said);
        else if (!socket.destroyed) go();
      });
    });
  };
}

/** Names of protocols as RFC 7301, section 3.1, has them: each behind its length. */
const alpnBytes = (names: readonly string[]): Buffer =>
  Buffer.concat(names.map((name) => Buffer.from(`${String.fromCharCode(name.length)}${name}`, 'latin1')));

const contextOf = ({ doors, tls: settings }: ListenerOptions, ticketKeys: Buffer): SecureContext =>
  tls.createSecureContext({
    key: doors.current.key,
    cert: doors.current.chain,
    // TLS judges nobody, so it needs no anchors (docs/decisions/09-recorded-certificates.md); without this Node loads its own.
    ca: [],
    minVersion: settings.minVersion as tls.SecureVersion,
    ecdhCurve: settings.groups,
    honorCipherOrder: true,
    // A handshake costs us more than the client: one a connection.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    ticketKeys,
    sessionTimeout: Math.round(settings.ticketLifetime / 1000),
    // Without one OpenSSL resumes nobody who has shown a certificate.
    sessionIdContext: 'fleetgate',
  });
