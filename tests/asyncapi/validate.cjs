// Judges an AsyncAPI document on standard input: prints what is wrong, or how many channels and messages it has.
const { Parser } = require(require.resolve("@asyncapi/parser", { paths: [process.argv[2]] }));

async function main() {
  const text = require("fs").readFileSync(0, "utf8");
  const { document, diagnostics } = await new Parser().parse(text);
  const wrong = diagnostics.filter(({ severity }) => severity < 2); // errors and warnings
  if (!document || wrong.length > 0) {
    console.error(JSON.stringify(wrong, null, 1));
    process.exit(1);
  }
  const messages = document.allMessages().all();
  console.log(JSON.stringify({ channels: document.channels().all().length, messages: messages.length }));
}

main();
