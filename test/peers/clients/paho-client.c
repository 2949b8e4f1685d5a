/* Paho for C as a device, told by lines on stdin and answering by lines on stdout. Arguments: host port ca cert key
 * client-id version clean keep-alive will-topic. */
#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int arrived(void *context, char *topic, int length, MQTTClient_message *message) {
  int shown = message->payloadlen < 20 ? message->payloadlen : 20;
  (void)context;
  (void)length;
  printf("message %s %d %d %d %.*s\n", topic, message->qos, message->retained, message->payloadlen, shown,
         (char *)message->payload);
  fflush(stdout);
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  return 1;
}

static void say(const char *word) {
  puts(word);
  fflush(stdout);
}

static void need(int code, const char *what) {
  if (code == MQTTCLIENT_SUCCESS) return;
  fprintf(stderr, "%s: %d\n", what, code);
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 11) return 2;
  int five = strcmp(argv[7], "5") == 0, clean = strcmp(argv[8], "1") == 0;
  char url[128], line[256], topic[128], payload[64];
  int qos, retain;
  MQTTClient client;
  MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  MQTTClient_connectOptions options5 = MQTTClient_connectOptions_initializer5;
  MQTTClient_SSLOptions ssl = MQTTClient_SSLOptions_initializer;
  MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
  MQTTProperties properties = MQTTProperties_initializer;
  if (five) options = options5;
  create.MQTTVersion = five ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
  snprintf(url, sizeof url, "ssl://%s:%s", argv[1], argv[2]);
  need(MQTTClient_createWithOptions(&client, url, argv[6], MQTTCLIENT_PERSISTENCE_NONE, NULL, &create), "create");
  need(MQTTClient_setCallbacks(client, NULL, NULL, arrived, NULL), "callbacks");
  ssl.trustStore = argv[3];
  ssl.keyStore = argv[4];
  ssl.privateKey = argv[5];
  will.topicName = argv[10];
  will.message = "gone";
  will.qos = 1;
  options.ssl = &ssl;
  options.will = &will;
  options.keepAliveInterval = atoi(argv[9]);
  options.MQTTVersion = create.MQTTVersion;
  if (five) {
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, .value.integer4 = clean ? 0 : 300};
    MQTTProperties_add(&properties, &expiry);
    options.cleanstart = clean;
    options.cleansession = 0;
    MQTTResponse response = MQTTClient_connect5(client, &options, &properties, NULL);
    need(response.reasonCode, "connect");
    /* The library does not hand on session present of MQTT 5. */
    say("connected unknown");
  } else {
    options.cleansession = clean;
    need(MQTTClient_connect(client, &options), "connect");
    printf("connected %d\n", options.returned.sessionPresent);
    fflush(stdout);
  }
  while (fgets(line, sizeof line, stdin)) {
    if (sscanf(line, "sub %127s %d", topic, &qos) == 2) {
      if (five) need(MQTTClient_subscribe5(client, topic, qos, NULL, NULL).reasonCode > 2, "subscribe");
      else need(MQTTClient_subscribe(client, topic, qos), "subscribe");
      say("subscribed");
    } else if (sscanf(line, "pub %127s %d %d %63s", topic, &qos, &retain, payload) == 4) {
      int length = payload[0] == '#' ? atoi(payload + 1) : (int)strlen(payload);
      char *bytes = malloc(length);
      MQTTClient_deliveryToken token;
      if (payload[0] == '#') memset(bytes, 'x', length);
      else memcpy(bytes, payload, length);
      if (five) need(MQTTClient_publish5(client, topic, length, bytes, qos, retain, NULL, &token).reasonCode, "publish");
      else need(MQTTClient_publish(client, topic, length, bytes, qos, retain, &token), "publish");
      need(MQTTClient_waitForCompletion(client, token, 10000), "completion");
      free(bytes);
      say("published");
    }
  }
  if (five) MQTTClient_disconnect5(client, 1000, MQTTREASONCODE_SUCCESS, NULL);
  else MQTTClient_disconnect(client, 1000);
  MQTTClient_destroy(&client);
  return 0;
}
