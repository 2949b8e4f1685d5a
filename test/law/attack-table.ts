/**
 * Attacks that a device gateway meets, and the test that proves each is met. Numbers are those of the list that this
 * project began with; a title is what stands in the file.
 */

export interface MetAttack {
  readonly number: number;
  readonly attack: string;
  /** File under `test/`, and titles in it. */
  readonly proof: readonly (readonly [file: string, ...titles: string[]])[];
}

const attacks = 'story/attacks.test.ts';
const foreign = 'story/foreign-attacks.test.ts';
const chains = 'unit/common/x509/hostile-chains.test.ts';
const malformed = 'story/malformed-packets.test.ts';
const hostile = 'story/hostile-peers.test.ts';
const guards = 'story/broker-guards.test.ts';
const topics = 'story/packet-attacks.test.ts';

export const metAttacks: readonly MetAttack[] = [
  {
    number: 1,
    attack: 'the ticket of a revoked device is resumed',
    proof: [
      [
        'story/resumption.test.ts',
        'a resumed session of a revoked device is refused',
        'and it is refused after a restart of the gateway',
      ],
    ],
  },
  {
    number: 2,
    attack: 'a ticket of a laxer listener is used at a stricter one',
    proof: [[attacks, 'a TLS ticket of one listener is worth nothing at the other']],
  },
  {
    number: 3,
    attack: 'revocation holds at one kind of listener only',
    proof: [[attacks, 'a revocation holds at every listener: MQTT and HTTPS']],
  },
  {
    number: 4,
    attack: 'revoked during a live connection',
    proof: [
      [attacks, 'a revoked device gets no last word: neither its Will nor what was queued leaves'],
      ['story/revocation.test.ts', 'ends the session, refuses the next with its own word'],
    ],
  },
  {
    number: 5,
    attack: 'a leaf that is none: no EKU, any EKU, serverAuth, CA',
    proof: [
      [foreign, '5: leaves that Node would take'],
      [chains, 'a leaf for serverAuth where none need say', 'a leaf without digitalSignature'],
    ],
  },
  {
    number: 6,
    attack: 'names that are read in two ways',
    proof: [[foreign, '6: names that are read in two ways', 'a NUL in a CN (CVE-2009-2408)']],
  },
  {
    number: 7,
    attack: 'a device certificate as an issuer; an intermediate that is none; path length',
    proof: [
      [
        foreign,
        'a device certificate as an issuer',
        'an intermediate without the CA bit, and one that is not for signing certificates',
        'a path that is longer than a CA allows',
      ],
    ],
  },
  {
    number: 8,
    attack: 'a wildcard past an excluding name constraint',
    proof: [
      [foreign, 'a wildcard over an excluded name (CVE-2025-61727)'],
      ['unit/common/x509/hostile-names.test.ts', 'a wildcard above an excluded dNSName'],
    ],
  },
  {
    number: 9,
    attack: 'chains that are bombs',
    proof: [
      [
        foreign,
        'a hundred certificates',
        'intermediates that vouch for each other in a circle (CVE-2024-0567)',
        'an issuer on a curve that is written out is not used',
      ],
      ['unit/common/x509/hostile-keys.test.ts', '16,384 bits of RSA in the leaf'],
      [hostile, 'a chain of a hundred certificates is shown, and costs a connection that is refused'],
    ],
  },
  {
    number: 10,
    attack: 'broken DER, unknown algorithms, exceptions in TLS callbacks',
    proof: [
      [
        'fuzz/certificates.ts',
        'a broken certificate is read or refused as certificate-malformed, in bounded time',
      ],
      [
        'unit/common/x509/hostile-bytes.test.ts',
        'a key that OpenSSL will not have is a fault when it is asked for',
      ],
      ['story/explain.test.ts', 'nothing at all', 'a certificate without its key is named'],
    ],
  },
  {
    number: 11,
    attack: 'slow handshakes, half-open floods, renegotiation',
    proof: [
      [
        hostile,
        'attackNames',
        'a client that asks to negotiate anew, again and again, is sent away (TLS 1.2)',
      ],
      [
        'unit/gateway/door/handshake-queue.test.ts',
        'one address that stalls 10,000 handshakes leaves places for others',
      ],
      [attacks, 'a peer that never speaks TLS is ended by the handshake deadline'],
    ],
  },
  {
    number: 12,
    attack: 'forged identity headers',
    proof: [
      [
        'story/http-attacks.test.ts',
        'an identity in a header is nobody’s: the certificate alone says who it is',
        'without a certificate no header makes up for it',
      ],
    ],
  },
  {
    number: 13,
    attack: 'request smuggling, chunk extensions, odd targets',
    proof: [
      [
        'story/http-attacks.test.ts',
        'refused, and nothing in it is taken for a request',
        'is not a path that exists',
        'chunk extensions and trailers are bounded',
        'nothing was smuggled',
      ],
    ],
  },
  {
    number: 14,
    attack: 'a large announced length before CONNECT',
    proof: [
      [attacks, 'a large announced length is refused when it is announced, not buffered (CVE-2017-7651)'],
      [
        'unit/gateway/mqtt/inbox.test.ts',
        'a frame of 256 KiB that comes byte by byte is not copied anew for each',
      ],
    ],
  },
  {
    number: 15,
    attack: 'an idle socket, no CONNECT, keep-alive 0 or 65535',
    proof: [
      [
        attacks,
        'a socket that is silent after the handshake is ended',
        'half a CONNECT does not keep it open',
        'does not keep a dead connection for ever (CVE-2020-13849)',
      ],
    ],
  },
  {
    number: 16,
    attack: 'wildcards, NUL or 64 KiB in a CN or client id',
    proof: [
      [
        attacks,
        'no device is ever called %j (CVE-2017-7650)',
        'is not bound to the certificate, and refused',
      ],
      [
        'unit/gateway/admission/role.test.ts',
        'whatever an attribute holds, it never reaches beyond its level',
      ],
    ],
  },
  {
    number: 17,
    attack: "another device's client id",
    proof: [
      [attacks, "another device's client id is refused: neither its session, nor its queue, nor its Will"],
    ],
  },
  {
    number: 18,
    attack: 'an empty client id with a persistent session',
    proof: [[attacks, 'an empty client id cannot keep a session (CVE-2025-56352)']],
  },
  {
    number: 19,
    attack: 'deep topics, 65,000 slashes',
    proof: [
      [topics, 'a topic of 65,000 slashes (CVE-2019-11779)', 'a filter of 32,000 wildcards'],
      ['story/limits.test.ts', 'maxTopicLevels and maxTopicLength'],
    ],
  },
  {
    number: 20,
    attack: '$SYS, $share around the rules, # over $',
    proof: [
      [attacks, 'a device may not subscribe to %s', 'a device may not publish to %s'],
      ['unit/gateway/admission/role.test.ts', 'a filter covers itself, and # covers all but $'],
    ],
  },
  {
    number: 21,
    attack: 'rules that fail open',
    proof: [
      [
        'story/withdrawn-rights.test.ts',
        'a role without rules grants nothing',
        'a blank credential is none',
        'one that cannot be read opens no door',
      ],
    ],
  },
  {
    number: 22,
    attack: 'rights withdrawn, and something stays',
    proof: [
      [
        'story/withdrawn-rights.test.ts',
        'a subscription that is not granted any more hears nothing, and hears again when it is',
        'what was queued for it while it was away is not handed out after',
        'is handed to nobody',
        'a Will that the role no longer grants is not published',
      ],
    ],
  },
  {
    number: 23,
    attack: 'malformed packets',
    proof: [
      [malformed, 'after CONNECT: %s', 'as CONNECT: %s', 'MQTT 3.1.1, which has no word for it: %s'],
      [
        'fuzz/packets.ts',
        'a reader gives a value or a Fault of its own for noise as a body, and reads nothing outside it',
      ],
      ['fuzz/live.ts', 'broken WebSocket frames, and broken MQTT within good ones'],
    ],
  },
  {
    number: 24,
    attack: 'QoS 2 ids that are never released, unknown PUBREL, queues without bound',
    proof: [
      [
        attacks,
        'QoS 2 packet identifiers that are never released are bounded, and a PUBREL out of the blue is harmless',
      ],
      [guards, 'a PUBREL that is sent twice', 'QoS 2 that is never released'],
      ['story/limits.test.ts', 'receiveMaximum: MQTT 5 was told, so more is an error', 'maxSessions'],
      ['story/slow-subscriber.test.ts', 'at QoS 1 it is closed: what does not fit may not be missed'],
    ],
  },
  {
    number: 25,
    attack: 'thousands of user properties, bad Will properties, alias 0',
    proof: [
      [
        topics,
        '30,000 user properties (CVE-2021-41039)',
        'a CONNECT that is mostly user properties is refused by its size',
      ],
      [malformed, 'bad Will properties (CVE-2023-3592)', 'PUBLISH with topic alias 0'],
    ],
  },
  {
    number: 26,
    attack: 'slow readers, retained messages without end, logs that grow with refusals',
    proof: [
      [
        'story/slow-subscriber.test.ts',
        'at QoS 0 it misses what does not fit, and leaves without taking the house along',
      ],
      [
        hostile,
        'every honest device is served, and memory is bounded',
        'Attack 26: a log that grows with refusals',
      ],
      [topics, 'a thousand retained messages of a device that may not retain leave nothing'],
      [
        'unit/gateway/admission/journal.test.ts',
        'a flood from many addresses leaves what is known of devices',
      ],
    ],
  },
  {
    number: 27,
    attack: 'OCSP requests that are odd, large or many',
    proof: [
      [
        'unit/registry/ca/ocsp-request.test.ts',
        'eight certificates are read, nine and a thousand are not',
        'arbitrary octets are malformed and nothing worse',
      ],
      [
        'unit/registry/authority/ocsp-responder.test.ts',
        'a serial number that nobody could issue is unknown',
      ],
      [
        'story/certificate-status.test.ts',
        'OCSP by GET takes base64 with / + = as they are and percent-encoded',
      ],
    ],
  },
  {
    number: 28,
    attack: 'CRLs that are old, rolled back, of another, half written or huge',
    proof: [
      [
        'unit/registry/authority/foreign-crl.test.ts',
        'one whose number was rolled back is refused',
        'half of a file is malformed wherever it is cut',
        'a million entries are read within bounds of time and memory',
      ],
      ['story/foreign-revocation.test.ts', 'a CRL that is worse than the last good one is not taken'],
    ],
  },
  {
    number: 29,
    attack: 'hostile enrollments',
    proof: [
      [
        'story/enroll-attacks.test.ts',
        "another device's SPIFFE ID",
        'a key that another device has already',
        'good for one use, used twice at once',
        'a body of 100 MB, announced or not, is refused without being held',
      ],
      ['story/est.test.ts', 'renews what is good, and what was revoked no longer'],
    ],
  },
  {
    number: 30,
    attack: 'issued and not recorded, after a kill',
    proof: [['story/enroll-crash.test.ts', 'killed before %s']],
  },
  {
    number: 31,
    attack: 'acknowledged and lost; EIO; the clock set back',
    proof: [
      ['story/survives-kill.test.ts', 'nothing acknowledged is lost, ids are stable'],
      [
        'peers/trouble.test.ts',
        'an event whose commit failed is not acknowledged; what was acknowledged arrives',
        'nothing acknowledged is lost, and the doors stay open',
      ],
    ],
  },
  {
    number: 32,
    attack: 'two processes, SIGTERM in a crowd, no descriptors, operators from the device side',
    proof: [
      [
        'story/process-limits.test.ts',
        'a second house on the same folder is refused and says why; the first goes on',
        'SIGTERM with 1,000 connected clients ends within seconds, exit code 0, and each is told',
        'with no descriptors left it refuses newcomers, keeps who is in, and recovers',
        "operators' and probes' paths do not exist on the device doors",
      ],
    ],
  },
];

/** What a bare aedes gets wrong, and where it is shown that a device meets something else here. */
export const brokerFaults: readonly MetAttack['proof'][number][] = [
  [guards, 'a client id of constructor: ours serves it, with session, Will and subscription'],
  [guards, '%s: ours does, and the device is served on'],
  [guards, '%s: ours ends the connection'],
  [guards, '16 MB announced before CONNECT: a bare broker takes them in, ours never'],
  [guards, 'of a SUBSCRIBE with denied filters nothing is heard after a reconnect either'],
  [malformed, 'a Will with QoS 3', 'a Will to a wildcard', 'PUBLISH with packet identifier 0 [MQTT-2.2.1-3]'],
  [
    malformed,
    'PUBACK of one byte',
    'PUBACK with bytes after its end',
    'a user name that is announced and missing',
  ],
  [malformed, 'PUBLISH with U+D800 in its topic [MQTT-1.5.4-1]', 'a NUL in the client id'],
];
