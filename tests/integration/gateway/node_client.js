// A client in JavaScript, from the proto files alone: node client.js PROTOS ADDRESS. Prints what it got as JSON.
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [protos, address] = process.argv.slice(2);
const options = { keepCase: true, longs: String, enums: String, defaults: true, includeDirs: [protos] };
const v1 = grpc.loadPackageDefinition(loader.loadSync("recency/v1/recommendation.proto", options)).recency.v1;
const client = new v1.RecommendationService(address, grpc.credentials.createInsecure());

function call(method, request) {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + 10000;
    client[method](request, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

// The fields of a google.rpc.BadRequest inside the google.rpc.Status of the trailing details, read by hand: this client
// has no stubs for them. Both messages hold strings and messages only, each as (tag, length, bytes).
function parts(buffer, number) {
  const found = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = buffer[at++];
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < buffer.length) {
    const tag = varint();
    const value = varint();
    if ((tag & 7) === 0) continue;
    if (tag >> 3 === number) found.push(buffer.subarray(at, at + value));
    at += value;
  }
  return found;
}

function violatedFields(error) {
  const [status] = error.metadata.get("grpc-status-details-bin");
  return parts(status, 3)
    .flatMap((any) => parts(any, 2))
    .flatMap((badRequest) => parts(badRequest, 1))
    .map((violation) => parts(violation, 1)[0].toString());
}

async function main() {
  const ids = (answer) => answer.recommendations.map((one) => one.item_id);
  const before = await call("Recommend", { user_id: "1", page_size: 5, view: "RECOMMEND_VIEW_ITEMS" });
  const clicked = ids(before)[0];
  const event = { event_id: "from-node", user_id: "1", item_id: clicked, type: "EVENT_TYPE_CLICK" };
  const feedback = await call("Feedback", { events: [event] });
  const after = await call("Recommend", {
    user_id: "1", page_size: 5, include_seen: false, consistency_token: [feedback.consistency_token],
  });
  const error = await call("Recommend", { page_size: -1 }).catch((e) => e);
  console.log(JSON.stringify({
    before: ids(before),
    clicked,
    title: before.recommendations[0].item.title,
    feedback: { accepted: feedback.accepted, duplicates: feedback.duplicates },
    after: ids(after),
    error: { code: error.code, fields: violatedFields(error) },
  }));
  client.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
