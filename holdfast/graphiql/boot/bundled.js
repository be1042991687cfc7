// The way in when the npm packages are bundled with us.
import "graphiql/graphiql.css";
import "./holdfast.css";

import { GraphiQL } from "graphiql";
import { createClient } from "graphql-ws";
import * as React from "react";
import { createRoot } from "react-dom/client";

import { start } from "./start.js";

start({ React, createRoot, GraphiQL, createClient });
