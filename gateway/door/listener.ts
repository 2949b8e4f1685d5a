/**
 * A device listener: counts and limits before a byte of TLS is read, asks for a client certificate but lets nobody be
 * refused by TLS itself, so that whoever is refused can be told why, and hands finished connections on.
 */
import { randomBytes } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import tls, { type TLSSocket } from 'node:tls';
import type { Cancel, Clock } from '#common/clock.ts';
import type { DoorCertificateSource } from '#common/contract/line.ts';
import type { Fault, FaultKind } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import type { TlsSettings } from '../settings.ts';
import type { ConnectLimits } from './connect-limits.ts';
import type { Peer } from './peer.ts';
import type { Proxied } from './proxied.ts';
import type { Endpoint } from './proxy-header.ts';
import { addressOf, hostOf, readPeer } from './read-peer.ts';

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
  /** A socket that listens already, handed over by whoever started us; then `host` and `port` are not asked. */
  fd?: number;
  /** Set when proxies are in front of the listener. */
  proxied?: Proxied;
  /** Turned away for what a PROXY header said, or did not; the socket is gone. */
  onMisled?: (fault: Fault, peer: Peer) => void;
  /** Refused before TLS, for the count; the socket is gone. */
  onRefused: (reason: FaultKind) => void;
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
    secure.on('tlsClientError', (_error, socket) => {
      metrics.tlsHandshakesTotal.inc({ version: 'unknown', resumed: 'no', result: 'failed' });
      socket.destroy();
    });

    /** Takes a place for whom the connection is; false when there is none, and the socket is gone. */
    const arrive = (socket: Accepted, address: string, port: number): boolean => {
      const refusal = limits.enter(address);
      if (refusal) {
        socket.destroy();
        options.onRefused(refusal);
        return false;
      }
      const shaken = clock.after(options.handshakeTimeoutMs, () => socket.destroy());
      socket[arrival] = { atMs: clock.elapsed(), address: addressOf(address, port), shaken };
      socket.once('close', () => {
        shaken();
        limits.leave(address);
      });
      return true;
    };
    const accept = (socket: Accepted): void => {
      if (arrive(socket, socket.remoteAddress ?? '', socket.remotePort ?? 0))
        secure.emit('connection', socket);
    };
    const { proxied } = options;
    const server = createServer(
      { noDelay: true },
      proxied
        ? acceptThrough(proxied, options, arrive, (socket) => secure.emit('connection', socket))
        : accept,
    );
    server.on('error', (error) => log.error({ error: error.message }, 'A listener failed.'));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      const { host, port, fd } = options;
      server.listen(fd === undefined ? { host, port, backlog } : { fd }, () => {
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

/** Accepts on a listener with proxies in front: from whom it is listed, for whom it says; others by the rules for them. */
function acceptThrough(
  proxied: Proxied,
  options: ListenerOptions,
  arrive: (socket: Accepted, address: string, port: number) => boolean,
  shake: (socket: Accepted) => void,
): (socket: Accepted) => void {
  const turnAway = (socket: Accepted, fault: Fault, { address, port }: Endpoint) => {
    socket.destroy();
    const peer = { address: addressOf(address, port), fingerprint: null, resumed: false, tlsVersion: 'none' };
    options.onMisled?.(fault, peer);
  };
  return (socket) => {
    const own = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
    if (proxied.lists(own.address)) {
      proxied.hear(socket, (said) => {
        if (said instanceof Error) return turnAway(socket, said, own);
        const { address, port } = said ?? own;
        if (!socket.destroyed && arrive(socket, address, port)) shake(socket);
      });
      return;
    }
    // By its own address it is limited like anybody, so that nobody fills the journal with what is refused here.
    if (!arrive(socket, own.address, own.port)) return;
    if (!proxied.isOptional) return turnAway(socket, proxied.unlisted(), own);
    proxied.suspect(socket, (said) => {
      if (said instanceof Error) turnAway(socket, said, own);
      else if (!socket.destroyed) shake(socket);
    });
  };
}

/** The host from which a connection comes, or for which a proxy has made it. */
export const clientHostOf = (socket: Socket): string => {
  const accepted = (socket as unknown as { _parent?: Accepted })._parent?.[arrival];
  return accepted ? hostOf(accepted.address) : (socket.remoteAddress ?? '');
};

const ignore = () => {};

const arrivalOf = (socket: TLSSocket) => (socket as unknown as { _parent: Accepted })._parent[arrival]!;

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
