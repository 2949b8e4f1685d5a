/** What can be set of a gateway: every key with its default, and its meaning in a sentence. Durations are milliseconds
 * and sizes bytes once loaded. docs/configuration.md lists the same keys, and a law compares the two. */
import Type, { type Static } from 'typebox';
import { Count, Duration, Flag, Port, Section, Size, Text } from '#common/config/schema.ts';

const proxySettings = Section(
  {
    from: Type.Array(Type.String(), {
      default: [],
      description:
        'Addresses and ranges of proxies that say by PROXY header for whom they connect; none: nobody does.',
    }),
    required: Flag(
      true,
      'Whether, when there are proxies, connections without a header and from elsewhere are turned away.',
    ),
  },
  'Proxies in front of the door.',
);

export const mqttSettings = Section(
  {
    port: Port(8883, 'Port of the MQTTS door.'),
    connectTimeout: Duration(
      '10s',
      'A connection that has not sent its CONNECT by then, counted from the handshake, is closed.',
    ),
    maxConnectSize: Size(
      '16KiB',
      'Longest CONNECT packet; a longer announced length is refused before it is read.',
    ),
    maxPacketSize: Size('256KiB', 'Longest packet after CONNECT; announced to MQTT 5 clients.'),
    topics: Type.Array(Type.Enum(['native', 'hono', 'aws']), {
      default: ['native'],
      description:
        'Whose topics devices may use: ours always, those of Eclipse Hono, those customary with AWS IoT.',
    }),
    maxTopicLevels: Count(16, 'Most levels of a topic or filter.'),
    maxTopicLength: Size('512B', 'Longest topic or filter, in bytes of UTF-8.'),
    maxSubscriptions: Count(50, 'Most subscriptions of one session.'),
    maxUserProperties: Count(32, 'Most user properties in one MQTT 5 packet.'),
    maxKeepAlive: Duration(
      '20m',
      'Longest keep-alive: MQTT 5 clients are told, 3.1.1 clients are held to it, and so is keep-alive 0.',
    ),
    receiveMaximum: Count(
      1000,
      'Most unacknowledged QoS 1 and 2 publishes of one device; announced to MQTT 5 clients.',
    ),
    maxInflight: Count(
      100,
      'Most unacknowledged QoS 1 and 2 messages towards one 3.1.1 client; MQTT 5 clients set it by their Receive Maximum.',
    ),
    maxSessionExpiry: Duration('1d', 'Longest that a session of a device that is away is kept.'),
    maxSessions: Count(100_000, 'Most sessions kept for devices that are away.'),
    maxStoredMessages: Count(
      1000,
      'Most messages of QoS 1 and 2 stored for one session; it misses those that come when so many are.',
    ),
    maxStoredSize: Size(
      '4MiB',
      'Most bytes of messages stored for one session; it misses what does not fit.',
    ),
    maxRetainedMessages: Count(100_000, 'Most retained messages; more are refused.'),
    maxRetainedSize: Size('64MiB', 'Most bytes of retained messages; more are refused.'),
    maxStoreSize: Size(
      '4GiB',
      'Longest file of sessions, with what is stored for them; nothing that would not fit is acknowledged.',
    ),
    maxRenewals: Count(500, 'Most renewals under way over all sessions; more are told to try again.'),
    maxCsrSize: Size('16KiB', 'Longest CSR of a renewal over a session, in DER.'),
    maxCommandsInFlight: Count(16, 'Most unacknowledged commands of one session.'),
    maxReplies: Count(1000, 'Most replies to commands on their way to the registry at once.'),
    maxWillSize: Size('8KiB', 'Longest Will payload.'),
    maxQueuedSize: Size(
      '4MiB',
      'Most bytes that wait in memory for one subscriber; beyond it QoS 0 is missed, and QoS 1 and 2 wait in the store of a session that is kept, or close one that is not.',
    ),
    drainTimeout: Duration('5s', 'A device that does not read what is sent to it for so long is closed.'),
    proxy: proxySettings,
  },
  'The MQTTS door.',
);

export const httpsSettings = Section(
  {
    port: Port(8443, 'Port of the HTTPS door for devices.'),
    maxBodySize: Size('256KiB', 'Longest body of one telemetry or event request.'),
    maxBatchSize: Size('4MiB', 'Longest body of one batch.'),
    maxBatchEvents: Count(10_000, 'Most events of one batch.'),
    maxEnrollBody: Size('64KiB', 'Longest body of one EST request or renewal.'),
    maxEnrollUnderway: Count(200, 'Most EST requests and renewals that wait for the registry at once.'),
    maxPolls: Count(20_000, 'Most requests that wait for commands at once.'),
    maxPollsPerDevice: Count(2, 'Most requests of one device that wait for commands at once.'),
    maxPollWait: Duration('60s', 'Longest that a request waits for commands.'),
    maxPollCommands: Count(16, 'Most commands of one answer.'),
    headersTimeout: Duration('10s', 'A request whose headers have not arrived by then is closed.'),
    requestTimeout: Duration('60s', 'A request whose body has not arrived by then is closed.'),
    keepAliveTimeout: Duration('75s', 'An idle connection is closed after so long.'),
    origins: Type.Array(Type.String(), {
      default: [],
      description:
        'Origins of web pages that may open MQTT over WebSocket, as `https://app.example`; those of this very host may.',
    }),
    proxy: proxySettings,
  },
  'The HTTPS door for devices, for MQTT too.',
);

export const opsSettings = Section(
  { port: Port(9464, 'Port of the ops door: metrics and probes.') },
  'The ops door.',
);

export const limitSettings = Section(
  {
    connections: Count(
      100_000,
      'Most open connections of both device doors together, unfinished handshakes included.',
    ),
    connectionsPerAddress: Count(20_000, 'Most open connections of one address.'),
    connectionsPerNetwork: Count(
      50_000,
      'Most open connections of one network: the /24 of an IPv4 address, the /48 of an IPv6 one.',
    ),
    connectRate: Count(2000, 'Most new connections a second, over all addresses; bursts of twice that pass.'),
    connectRatePerAddress: Count(
      1000,
      'Most new connections a second of one address; bursts of twice that pass.',
    ),
    connectRatePerNetwork: Count(
      1500,
      'Most new connections a second of one network; bursts of twice that pass.',
    ),
    enrollRatePerAddress: Count(
      50,
      'Most EST requests and renewals a second of one address; bursts of twice that pass.',
    ),
    handshakeTimeout: Duration('10s', 'A TLS handshake that is not done by then is ended.'),
    proxyTimeout: Duration('3s', 'A PROXY header that is not whole by then is not waited for.'),
    maxProxyHeader: Size('4KiB', 'Longest PROXY header of version 2, behind its first 16 bytes.'),
    helloTimeout: Duration('3s', 'A connection that has not sent a byte by then is ended.'),
    handshakes: Count(
      2000,
      'Most TLS handshakes under way; one network may have as many as are left over, one address half of that.',
      4,
    ),
    handshakeQueue: Count(
      10_000,
      'Most connections that wait for their handshake, shared out like the handshakes; whoever exceeds its share loses the one that waits longest.',
      4,
    ),
    flappingConnects: Count(
      0,
      'Most MQTT connects of one device in the window; one that exceeds them is kept out for a while. 0 counts nobody; 30 suits most fleets.',
      0,
    ),
    flappingWindow: Duration('1m', 'The window of `flappingConnects`.'),
    flappingBan: Duration(
      '1m',
      'How long a device is kept out that has come too often; twice as long each time it goes on like that.',
    ),
    flappingLongestBan: Duration(
      '1h',
      'Longest that it is kept out, and how long it has to behave to begin anew.',
    ),
    messageRatePatience: Duration(
      '2m',
      'A device that has sent more than its limits of messages or bytes for so long is ended.',
    ),
    maxIntroductions: Count(200, 'Most certificates of foreign CAs that are being made known at once.'),
    introductionTimeout: Duration('10s', 'A registry that has not answered for one by then is away.'),
    strangersPerAddress: Count(
      100,
      'Most unknown certificates a second of one address whose chain is looked at; bursts of twice that pass.',
    ),
    journalSize: Count(10_000, 'Admissions at the door that are kept in memory, and as many refusals.'),
  },
  'Limits before and at the door.',
);

export const cloneSettings = Section(
  {
    threshold: Count(
      20,
      'Score at which a device is reported as being two; each return to a network that was just taken over adds 1. 0 watches nobody.',
      0,
    ),
    halfLife: Duration('1h', 'After so long half of a score is left.'),
    sequence: Type.String({
      default: '',
      pattern: '^[a-z0-9-]{0,64}$',
      description:
        'Name of the MQTT 5 user property and HTTP header in which devices count their messages; empty where they do not.',
    }),
    quarantine: Flag(false, 'Whether a device that is reported is kept out until an operator enables it.'),
  },
  'Devices whose certificate seems to be used by two.',
);

export const spoolSettings = Section(
  {
    flushInterval: Duration(
      '10ms',
      'Under load one commit so often; an event that comes alone is committed at once.',
    ),
    flushSize: Size('256KiB', 'A batch of this size is committed at once.'),
    maxSize: Size('4GiB', 'Bytes of undelivered events on disk at which the devices are held back.'),
    maxPendingBatches: Count(64, 'Batches on their way to the disk at which the devices are held back.'),
    maxDeliveryAttempts: Count(0, 'Tries after which a batch goes to the dead letters; 0 never gives up.', 0),
  },
  'The spool: where accepted events wait, durably, for their backends.',
);

export const tlsSettings = Section(
  {
    minVersion: Type.Enum(['TLSv1.2', 'TLSv1.3'], { default: 'TLSv1.2', description: 'Lowest TLS version.' }),
    groups: Text('X25519MLKEM768:X25519:P-256:P-384', 'Key agreement groups, best first.'),
    ticketLifetime: Duration('1h', 'How long a TLS session can be resumed.'),
    stapling: Flag(
      true,
      'Whether clients that ask get an OCSP answer about the door; it costs every handshake some 30 µs.',
    ),
  },
  'TLS of the device doors.',
);

export const upstreamSettings = Section(
  {
    maxLag: Duration(
      '24h',
      'A gateway that has not heard from its registry for so long refuses with "try again".',
    ),
    sightingInterval: Duration('1h', 'A certificate that comes in again is reported at most so often.'),
  },
  'How the gateway follows its registry.',
);

export const fileBackend = Type.Object(
  {
    type: Type.Literal('file'),
    path: Type.String({ description: 'Folder for the NDJSON files, relative to the data folder.' }),
    linger: Duration('50ms', 'How long events gather before they are delivered together.'),
    rotateSize: Size('64MiB', 'A file of this size is closed and the next begun.'),
    rotateInterval: Duration('1h', 'A file of this age is closed and the next begun.'),
  },
  { additionalProperties: false, description: 'NDJSON files, fsynced before an event counts as delivered.' },
);

export const httpBackend = Type.Object(
  {
    type: Type.Literal('http'),
    url: Type.String({ description: 'Where batches are POSTed as application/cloudevents-batch+json.' }),
    linger: Duration('50ms', 'How long events gather before they are delivered together.'),
    batch: Count(500, 'Most events of one request.'),
    timeout: Duration('30s', 'A request that is not answered by then is tried again.'),
    retryFirst: Duration('200ms', 'Pause before the first retry; it doubles, with jitter.'),
    retryLimit: Duration('30s', 'Longest pause between retries.'),
    tokenFile: Type.Optional(Type.String({ description: 'File with a bearer token.' })),
    caFile: Type.Optional(Type.String({ description: 'PEM bundle of the anchors of the server.' })),
    certFile: Type.Optional(Type.String({ description: 'PEM client certificate for mutual TLS.' })),
    keyFile: Type.Optional(Type.String({ description: 'PEM key of the client certificate.' })),
  },
  { additionalProperties: false, description: 'Batched CloudEvents by HTTP.' },
);

export const backendSettings = Type.Record(Type.String(), Type.Union([fileBackend, httpBackend]), {
  default: { file: { type: 'file', path: 'telemetry' } },
  description: 'Backends by name.',
});

export const routeSettings = Type.Array(
  Type.Object(
    {
      match: Type.String({
        description: '`telemetry/#` or `events/#`, or deeper: an MQTT filter over class and channel.',
      }),
      to: Type.Array(Type.String(), { minItems: 1, description: 'Names of backends; each gets a copy.' }),
    },
    { additionalProperties: false },
  ),
  {
    default: [{ match: '#', to: ['file'] }],
    description: 'Which events go where: every route that matches adds its backends.',
  },
);

export const gatewaySettings = {
  mqtt: mqttSettings,
  https: httpsSettings,
  ops: opsSettings,
  limits: limitSettings,
  clones: cloneSettings,
  spool: spoolSettings,
  tls: tlsSettings,
  upstream: upstreamSettings,
  backends: backendSettings,
  routes: routeSettings,
};

export type MqttSettings = Static<typeof mqttSettings>;
export type ProxySettings = Static<typeof proxySettings>;
export type HttpsSettings = Static<typeof httpsSettings>;
export type OpsSettings = Static<typeof opsSettings>;
export type LimitSettings = Static<typeof limitSettings>;
export type CloneSettings = Static<typeof cloneSettings>;
export type SpoolSettings = Static<typeof spoolSettings>;
export type TlsSettings = Static<typeof tlsSettings>;
export type UpstreamSettings = Static<typeof upstreamSettings>;
export type FileBackendSettings = Static<typeof fileBackend>;
export type HttpBackendSettings = Static<typeof httpBackend>;
export type BackendSettings = FileBackendSettings | HttpBackendSettings;
export type RouteSettings = Static<typeof routeSettings>;

export interface GatewaySettings {
  readonly mqtt: MqttSettings;
  readonly https: HttpsSettings;
  readonly ops: OpsSettings;
  readonly limits: LimitSettings;
  readonly clones: CloneSettings;
  readonly spool: SpoolSettings;
  readonly tls: TlsSettings;
  readonly upstream: UpstreamSettings;
  readonly backends: Readonly<Record<string, BackendSettings>>;
  readonly routes: RouteSettings;
}
