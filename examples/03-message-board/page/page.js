// Sends messages, and shows each with its state, asked for again every second.
"use strict";
const element = (id) => document.getElementById(id);
const notice = (text) => { element("notice").textContent = text; };

async function ask(method, path, body) {
  const answer = await fetch(path, { method, body: body && JSON.stringify(body) });
  const data = await answer.json();
  if (!answer.ok) throw new Error(data.error);
  return data;
}

async function show() {
  try {
    const messages = await ask("GET", "messages");
    element("messages").replaceChildren(...messages.map((message) => {
      const row = document.createElement("tr");
      row.className = message.state;
      for (const text of [message.state, message.text, message.author ?? "", message.reason ?? ""]) {
        row.insertCell().textContent = text;
      }
      return row;
    }));
  } catch (error) {
    notice(error.message);
  }
}

element("send").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [text, author, topic] = ["text", "author", "topic"].map((id) => element(id).value);
  try {
    await ask("POST", "messages", { text, ...(author && { author }), ...(topic && { topic }) });
    element("text").value = "";
    notice("");
  } catch (error) {
    notice(error.message);
  }
  show();
});

element("process").addEventListener("click", async () => {
  try {
    notice(`${(await ask("POST", "process")).processed} procesados`);
  } catch (error) {
    notice(error.message);
  }
  show();
});

show();
setInterval(show, 1000);
